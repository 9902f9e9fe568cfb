import assert from 'node:assert/strict';
import {other, pci, port, type DeviceSpec} from '../support/machine.js';
import {read} from '../support/read.js';

const blockers = (release: string, ...devices: DeviceSpec[]): string[] => {
  const [group] = read({release, groups: {0: devices}}).groups;
  assert.ok(group);
  assert.equal(group.viable, group.blockers.length === 0);
  return group.blockers.map(({address, driver}) => `${address} ${driver}`);
};

const bound = (driver: string | null, name = '0000:01:00.0'): DeviceSpec => pci(name, {driver});

describe('the members that keep VFIO from taking a group', () => {
  for (const driver of [
    null,
    'pci-stub',
    'pcieport',
    'vfio-pci',
    'mlx5_vfio_pci',
    'nvgrace_gpu_vfio_pci',
    'xe-vfio-pci',
  ]) {
    it(`are none with a device bound to ${driver ?? 'nothing'} since 5.19`, () => {
      assert.deepEqual(blockers('5.19.0', bound(driver)), []);
    });
  }

  for (const driver of ['e1000e', 'snd_hda_intel', 'shpchp', 'i801_smbus', 'pciback', 'vfio-pci-not']) {
    it(`include a device bound to ${driver}`, () => {
      assert.deepEqual(blockers('6.12.0', bound(driver)), [`0000:01:00.0 ${driver}`]);
      assert.deepEqual(blockers('5.10.0', bound(driver)), [`0000:01:00.0 ${driver}`]);
    });
  }

  it('do not include a driver that registers VFIO devices under another name', () => {
    assert.deepEqual(blockers('6.12.0', pci('0000:01:00.0', {driver: 'xe', vfio: ['vfio0']})), []);
  });

  it('are told apart by member', () => {
    assert.deepEqual(blockers('6.12.0', bound('vfio-pci'), bound('xhci_hcd', '0000:01:00.2')), [
      '0000:01:00.2 xhci_hcd',
    ]);
  });

  it('include every other bridge driver since 5.19, and none before', () => {
    const bridge = port('0000:00:1c.0', {driver: 'shpchp'});
    assert.deepEqual(blockers('5.19.0', bridge), ['0000:00:1c.0 shpchp']);
    assert.deepEqual(blockers('5.18.0', bridge), []);
  });

  it('include a host bridge with a driver before 5.19, which is no PCI-to-PCI bridge', () => {
    assert.deepEqual(blockers('5.18.0', pci('0000:00:00.0', {classCode: '060000', driver: 'skl_uncore'})), [
      '0000:00:00.0 skl_uncore',
    ]);
  });

  it('do not include platform, AMBA and mediated devices that VFIO has', () => {
    assert.deepEqual(
      blockers(
        '6.12.0',
        other('platform', 'a', {driver: 'vfio-platform'}),
        other('amba', 'b', {driver: 'vfio-amba'}),
        other('mdev', 'c', {driver: 'intel_vgpu_mdev'}),
      ),
      [],
    );
  });
});
