import assert from 'node:assert/strict';
import {Failure} from '../../../src/failure.js';
import {bindDevices} from '../../../src/vfio/bind/bind.js';
import type {BindDocument} from '../../../src/vfio/bind/bind-document.js';
import type {GuardName} from '../../../src/vfio/bind/guards/guard-table.js';
import {folderOf, intel, machine, pci, type DeviceSpec} from '../../support/machine.js';
import {bindOptions, SimulatedBus} from './simulated-bus.js';

interface Asked {
  devices?: string[];
  dryRun?: boolean;
  force?: readonly GuardName[];
  files?: Record<string, string>;
  regions?: string;
  driver?: string;
}

/** Binds group 8 of a machine, or one device; `files` are written beside those of the machine. */
const bind = async (
  members: readonly DeviceSpec[],
  {devices, dryRun = true, force = [], files = {}, regions, driver}: Asked = {},
): Promise<{answer: BindDocument | Failure; writes: string[]}> => {
  const group = regions === undefined ? members : {devices: members, regions};
  using built = machine({units: {dmar0: intel('f050da')}, groups: {8: group}});
  built.write('sys/bus/pci/drivers/vfio-pci/new_id', '');
  for (const [path, text] of Object.entries(files)) built.write(path, text);
  const bus = new SimulatedBus(built, {});
  const request = devices === undefined ? {groups: [8], devices: []} : {groups: [], devices};
  const answer = await bindDevices(request, bindOptions(bus, {dryRun, force, driver})).catch(
    (error: unknown) => {
      if (error instanceof Failure) return error;
      throw error;
    },
  );
  return {answer, writes: bus.writes};
};

const document = async (...asked: Parameters<typeof bind>): Promise<BindDocument> => {
  const {answer} = await bind(...asked);
  assert.ok(!(answer instanceof Failure), 'it failed');
  return answer;
};

const member = (address: string, options: Parameters<typeof pci>[1] = {}): DeviceSpec =>
  pci(address, {unit: 'dmar0', driver: 'e1000e', ...options});

const VF = '0000:3d:00.4';

const vmd = member('0000:00:0e.0', {classCode: '010400', driver: 'vmd'});
const behind = member('10000:e1:00.0', {
  parent: `${folderOf(vmd)}/pci10000:e0`,
  classCode: '010802',
  driver: 'nvme',
});

describe('bind of what VFIO does not take, or a VM cannot have', () => {
  it('gives a controller to vfio-pci with the devices of its domain, whose drivers it leaves alone', async () => {
    const {devices, steps, groups} = await document([vmd, behind]);
    assert.deepEqual(
      devices.map(({outcome}) => outcome),
      ['planned', 'left-alone'],
    );
    assert.match(devices[1]?.reason ?? '', /^it goes with 0000:00:0e\.0, whose driver \(vmd\)/);
    assert.ok(!steps.some(({does}) => does.includes('10000:e1:00.0')));
    assert.deepEqual([groups[0]?.viable, groups[0]?.assignable.verdict], [true, 'yes']);
  });

  it('has guards look at what goes with a controller', async () => {
    const shown = {...behind, files: {...behind.files, boot_vga: '1\n'}};
    const {refused} = await document([vmd, shown]);
    assert.deepEqual(
      refused.map(({guard, device}) => [guard, device]),
      [['display', '10000:e1:00.0']],
    );
  });

  it('warns of a device that VFIO has without an IOMMU, and refuses one that it does not take', async () => {
    const of = async (value: string): Promise<BindDocument | Failure> => {
      using built = machine({ungrouped: [pci('0000:02:00.0', {driver: 'igb'})]});
      built.write('sys/bus/pci/drivers/vfio-pci/new_id', '');
      built.write('sys/module/vfio/parameters/enable_unsafe_noiommu_mode', value);
      const request = {groups: [], devices: ['0000:02:00.0']};
      return await bindDevices(request, bindOptions(new SimulatedBus(built, {}), {dryRun: true})).catch(
        (error: unknown) => {
          if (error instanceof Failure) return error;
          throw error;
        },
      );
    };
    const allowed = await of('Y\n');
    assert.ok(!(allowed instanceof Failure));
    const warning = allowed.warnings.find(({code}) => code === 'NO_IOMMU');
    assert.match(warning?.message ?? '', /^0000:02:00\.0 is in no IOMMU group: .* no VM can have it$/);
    const refused = await of('N\n');
    assert.ok(refused instanceof Failure);
    assert.match(refused.why, /in no IOMMU group: vfio-pci answers EINVAL/);
  });

  it('leaves a vGPU to the driver that gives it to VMs, whichever driver is asked for', async () => {
    const plain = member(VF, {driver: 'nvidia', vendor: '10de', classCode: '030200', vfio: ['vfio0']});
    const vgpu = {...plain, files: {...plain.files, 'nvidia/current_vgpu_type': '531\n'}};
    for (const driver of ['vfio-pci', 'auto']) {
      const {devices, steps} = await document([vgpu], {driver});
      assert.deepEqual(steps, []);
      assert.match(devices[0]?.reason ?? '', /^nvidia gives it to VMs as a vGPU of type 531$/);
      const {answer} = await bind([vgpu], {driver, devices: [VF]});
      assert.ok(answer instanceof Failure);
      assert.match(answer.why, /is a vGPU of type 531, which its driver nvidia gives to VMs itself/);
    }
    const {devices} = await document([vgpu]);
    assert.match(devices[0]?.reason ?? '', /^nvidia has it already$/);
  });

  it('refuses a device of such a domain by itself, and one on the denylist, before anything is written', async () => {
    const one = await bind([vmd, behind], {devices: ['10000:e1:00.0'], dryRun: false});
    const qat = member('0000:b1:01.0', {device: '37c9', driver: 'c6xxvf'});
    const other = await bind([qat], {
      dryRun: false,
      files: {'sys/module/vfio_pci/parameters/disable_denylist': 'N\n'},
    });
    for (const [{answer, writes}, why] of [
      [one, /behind 0000:00:0e\.0, whose driver \(vmd\) has made it/],
      [other, /8086:37c9, which is on vfio-pci's denylist .*EINVAL/],
    ] as const) {
      assert.ok(answer instanceof Failure);
      assert.deepEqual([answer.code, answer.exitCode, writes], ['CANNOT_BIND', 5, []]);
      assert.match(answer.why, why);
    }
    assert.match((other.answer as Failure).hint, /disable_denylist=1/);
  });

  it('takes a device of the denylist where the list is off', async () => {
    const {steps} = await document([member('0000:b1:01.0', {device: '37c9'})], {
      files: {'sys/module/vfio_pci/parameters/disable_denylist': 'Y\n'},
    });
    assert.ok(steps.some(({does}) => does === 'bind 0000:b1:01.0 to vfio-pci'));
  });

  it('says of a dry run what keeps a VM from the group all the same', async () => {
    const {groups} = await document([member('0000:01:00.0')], {
      regions: '0x00000000bddde000 0x00000000bdddefff direct\n',
    });
    assert.deepEqual(
      groups.map(({viable, assignable: {verdict, obstacles}}) => [
        viable,
        verdict,
        obstacles.map(({check}) => check),
      ]),
      [[true, 'no', ['direct-region']]],
    );
  });

  it('says of a virtual function in the group of its physical one that the group cannot be assigned', async () => {
    const pf = member('0000:01:00.0', {driver: 'mlx5_core'});
    const vf = member('0000:01:00.2', {driver: 'vfio-pci', vfio: ['vfio0'], physfn: folderOf(pf)});
    const {groups} = await document([pf, vf], {devices: ['0000:01:00.2']});
    assert.deepEqual(
      groups.map(({assignable: {verdict, obstacles}}) => [verdict, obstacles[0]?.check]),
      [['no', 'physical-function']],
    );
  });

  describe('of a physical function with its virtual ones', () => {
    const children = [2, 3].map((each) =>
      member(`0000:01:00.${each}`, {
        driver: each === 2 ? 'iavf' : null,
        physfn: folderOf(member('0000:01:00.0')),
      }),
    );
    const parent = (driver: string | null): DeviceSpec => {
      const pf = member('0000:01:00.0', {driver});
      const links = children.map((vf, at) => [`virtfn${at}`, `sys/devices/${folderOf(vf)}`]);
      const virtual = Object.fromEntries(links) as Record<string, string>;
      return {...pf, files: {...pf.files, sriov_numvfs: '2\n'}, links: virtual};
    };
    const group = (driver: string | null): DeviceSpec[] => [parent(driver), ...children];

    it('plans nothing for the virtual ones, which go with the driver that has made them', async () => {
      for (const force of [[], ['sriov']] as const) {
        const {devices, steps, refused, overruled, groups} = await document(group('ice'), {force});
        assert.deepEqual(
          devices.map(({outcome, reason}) => [outcome, reason]),
          [
            ['planned', null],
            ['left-alone', 'it goes with 0000:01:00.0, whose driver (ice) has made it'],
            ['left-alone', 'it goes with 0000:01:00.0, whose driver (ice) has made it'],
          ],
        );
        assert.ok(steps.every(({does}) => does.includes('0000:01:00.0')));
        assert.deepEqual(
          [...refused, ...overruled].map(({guard, device}) => [guard, device]),
          [['sriov', '0000:01:00.0']],
        );
        // a driver may leave them there when it lets go, as pci-pf-stub does
        assert.deepEqual(
          groups.map(({viable, assignable: {verdict, obstacles}}) => [
            viable,
            verdict,
            obstacles.map(({check, certain, errno}) => [check, certain, errno]),
          ]),
          [[null, 'unknown', [['virtual-functions', false, 'EBUSY']]]],
        );
      }
    });

    it('says that vfio-pci does not take it where no driver would remove them', async () => {
      const {devices, groups} = await document(group(null), {force: ['sriov']});
      assert.deepEqual(
        devices.map(({outcome}) => outcome),
        ['planned', 'planned', 'planned'],
      );
      assert.deepEqual(
        groups.map(({viable, assignable: {verdict, obstacles}}) => [
          viable,
          verdict,
          obstacles.map(({check, certain, errno}) => [check, certain, errno]),
        ]),
        [[false, 'no', [['virtual-functions', true, 'EBUSY']]]],
      );
    });

    it('has guards look at the virtual ones too, whatever groups they are in', async () => {
      const [first, ...others] = children;
      assert.ok(first);
      const shown = {...first, files: {...first.files, boot_vga: '1\n'}};
      using built = machine({
        units: {dmar0: intel('f050da')},
        groups: {8: [parent('ice')], 9: [shown], 10: others},
      });
      built.write('sys/bus/pci/drivers/vfio-pci/new_id', '');
      const {refused} = await bindDevices(
        {groups: [8], devices: []},
        bindOptions(new SimulatedBus(built, {}), {dryRun: true}),
      );
      assert.deepEqual(
        refused.map(({guard, device}) => [guard, device]),
        [
          ['display', '0000:01:00.2'],
          ['sriov', '0000:01:00.0'],
        ],
      );
    });

    it('refuses to give both away at once by name', async () => {
      const {answer, writes} = await bind(group('ice'), {
        devices: ['0000:01:00.0', '0000:01:00.2'],
        dryRun: false,
      });
      assert.ok(answer instanceof Failure);
      assert.deepEqual([answer.code, answer.exitCode, writes], ['CANNOT_BIND', 5, []]);
      assert.match(answer.why, /virtual function of 0000:01:00\.0, which is to lose the driver \(ice\)/);
    });
  });
});
