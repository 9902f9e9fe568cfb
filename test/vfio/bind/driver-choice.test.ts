import assert from 'node:assert/strict';
import {Failure} from '../../../src/failure.js';
import {readHost} from '../../../src/iommu/host.js';
import {bindDevices, type BindOptions} from '../../../src/vfio/bind/bind.js';
import type {BindDocument} from '../../../src/vfio/bind/bind-document.js';
import {cutAliases, DriverChooser, type DriverWish} from '../../../src/vfio/bind/driver-choice.js';
import {unbindDevices} from '../../../src/vfio/bind/unbind.js';
import {DirectoryTree} from '../../../src/host/directory-tree.js';
import {amd, machine, pci, type DeviceSpec, type Machine} from '../../support/machine.js';
import {bindOptions, SimulatedBus} from './simulated-bus.js';

const RELEASE = '6.12.107+deb13-amd64';
const unit = 'ivhd0';
const NIC = '0000:01:00.2';
/** As depmod writes them; the drivers are those of Linux 6.12, the ids some of theirs. */
const ALIASES = `# Aliases extracted from modules themselves.
alias pci:v000015B3d0000101Esv*sd*bc*sc*i* mlx5_core
alias vfio_pci:v*d*sv*sd*bc*sc*i* vfio_pci
alias vfio_pci:v000015B3d0000101Esv*sd*bc*sc*i* mlx5_vfio_pci
alias vfio_pci:v00001AF4d00001041sv*sd*bc*sc*i* virtio_vfio_pci
alias vfio_pci:v00001AF4d00001041sv00001AF4sd*bc*sc*i* narrower_vfio_pci
alias vfio_pci:v00008086d0000E20Bsv*sd*bc*sc*i* xe_vfio_pci
`;

const nic = (options: Parameters<typeof pci>[1] = {}): DeviceSpec =>
  pci(NIC, {unit, vendor: '15b3', device: '101e', driver: 'mlx5_core', ...options});

const built = (device: DeviceSpec, aliases: string | null = ALIASES): Machine => {
  const files = machine({release: RELEASE, units: {[unit]: amd()}, groups: {5: [device]}});
  if (aliases !== null) files.write(`lib/modules/${RELEASE}/modules.alias`, aliases);
  return files;
};

const chosen = (
  device: DeviceSpec,
  wish: DriverWish,
  {aliases = ALIASES, files = {}}: {aliases?: string | null; files?: Record<string, string>} = {},
): string => {
  using host = built(device, aliases);
  for (const [path, text] of Object.entries(files)) host.write(path, text);
  const tree = new DirectoryTree(host.root);
  const {groups, kernel} = readHost(tree);
  const [member] = groups[0]?.devices ?? [];
  assert.ok(member);
  const {driver, module, because, fits} = new DriverChooser(tree, kernel.release).choose(member, wish);
  return `${driver} of ${module}${fits ? '' : ', which does not fit'}${because === null ? '' : `: ${because}`}`;
};

describe('the driver of VFIO that a device gets', () => {
  it('is the one whose alias leaves least open, and says so', () => {
    assert.equal(
      chosen(nic(), 'auto'),
      'mlx5_vfio_pci of mlx5_vfio_pci: mlx5_vfio_pci has the alias vfio_pci:v000015B3d0000101Esv*sd*bc*sc*i*',
    );
    const virtio = {vendor: '1af4', device: '1041', driver: 'virtio-pci'};
    assert.match(chosen(nic({...virtio, subsystem: ['8086', '0000']}), 'auto'), /^virtio_vfio_pci of/);
    assert.match(chosen(nic({...virtio, subsystem: ['1af4', '1100']}), 'auto'), /^narrower_vfio_pci of/);
  });

  it('is vfio-pci where no other names it, or the aliases cannot be read', () => {
    assert.equal(
      chosen(nic({device: '1017'}), 'auto'),
      'vfio-pci of vfio-pci: no other driver of VFIO is made for it',
    );
    assert.match(
      chosen(nic(), 'auto', {aliases: null}),
      /^vfio-pci of vfio-pci: kvfio cannot read which drivers/,
    );
    assert.equal(chosen(nic(), 'vfio-pci'), 'vfio-pci of vfio-pci');
  });

  it('may be built in, and is named as the kernel names it', () => {
    const files = {
      [`lib/modules/${RELEASE}/modules.builtin.modinfo`]:
        'mlx5_vfio_pci.license=GPL\0mlx5_vfio_pci.alias=vfio_pci:v000015B3d0000101Esv*sd*bc*sc*i*\0',
    };
    const plain = 'alias vfio_pci:v*d*sv*sd*bc*sc*i* vfio_pci\n';
    assert.match(chosen(nic(), 'auto', {aliases: plain, files}), /^mlx5_vfio_pci of mlx5_vfio_pci/);
    const graphics = nic({vendor: '8086', device: 'e20b', driver: 'xe'});
    assert.match(chosen(graphics, 'auto'), /^xe-vfio-pci of xe_vfio_pci/);
    const loaded = {'sys/module/mlx5_vfio_pci/drivers/pci:mlx5-vfio-pci/uevent': ''};
    assert.match(chosen(nic(), 'auto', {files: loaded}), /^mlx5-vfio-pci of mlx5_vfio_pci/);
  });

  it('is what a user has written into its override, and not what the kernel has', () => {
    const physical = 'pci0000:01/0000:01:00.0';
    const vf = nic({override: 'nvgrace_gpu_vfio_pci', physfn: physical});
    assert.equal(chosen(vf, 'auto'), 'nvgrace_gpu_vfio_pci of nvgrace_gpu_vfio_pci: its override names it');
    assert.match(
      chosen(nic({override: 'vfio-pci'}), 'auto'),
      /^mlx5_vfio_pci/,
      'which says nothing of others',
    );
    using host = built(vf);
    host.write('sys/bus/pci/drivers/vfio-pci/module/uevent', '');
    host.write(`sys/devices/${physical}/uevent`, '');
    host.link(`sys/devices/${physical}/driver`, 'sys/bus/pci/drivers/vfio-pci');
    const tree = new DirectoryTree(host.root);
    const [member] = readHost(tree).groups[0]?.devices ?? [];
    assert.ok(member);
    assert.equal(new DriverChooser(tree, RELEASE).choose(member, 'auto').driver, 'mlx5_vfio_pci');
  });

  it('may be named, and is known not to fit where no alias of it does', () => {
    assert.equal(chosen(nic(), 'mlx5_vfio_pci'), 'mlx5_vfio_pci of mlx5_vfio_pci');
    assert.equal(chosen(nic(), 'virtio_vfio_pci'), 'virtio_vfio_pci of virtio_vfio_pci, which does not fit');
    assert.equal(chosen(nic(), 'virtio_vfio_pci', {aliases: null}), 'virtio_vfio_pci of virtio_vfio_pci');
  });

  it('is chosen of a capture, too, which holds the aliases of VFIO alone', () => {
    const path = `/lib/modules/${RELEASE}/modules.alias`;
    assert.equal(
      cutAliases(path, ALIASES),
      ALIASES.split('\n')
        .filter((line) => line.startsWith('alias vfio_pci:'))
        .join('\n')
        .concat('\n'),
    );
    assert.equal(cutAliases('/proc/cmdline', 'quiet\n'), null);
  });
});

describe('bind --driver', () => {
  const options = (bus: SimulatedBus, driver: DriverWish | undefined, dryRun = false): BindOptions =>
    bindOptions(bus, {driver, dryRun});
  const GROUP = {groups: [5], devices: []};
  const after = ({devices}: BindDocument): unknown =>
    devices.map(({after: {driver, override}, chosen: because}) => [driver, override, because !== null]);

  it('loads the driver that is made for the device, binds it, and unbind returns what was', async () => {
    using files = built(nic());
    const bus = new SimulatedBus(files, {[NIC]: 'mlx5_core'});
    const before = bus.state();
    const predicted = await bindDevices(GROUP, options(bus, 'auto', true));
    assert.deepEqual(predicted.modules, ['mlx5_vfio_pci']);
    assert.deepEqual(after(predicted), [['mlx5_vfio_pci', 'mlx5_vfio_pci', true]]);
    files.write('sys/bus/pci/drivers/mlx5_vfio_pci/uevent', '');
    const bound = await bindDevices(GROUP, options(bus, 'auto'));
    assert.deepEqual(after(bound), after(predicted));
    assert.equal((await bindDevices(GROUP, options(bus, 'auto'))).changed, false);
    assert.equal((await bindDevices(GROUP, options(bus, undefined))).changed, false, 'VFIO has it');
    await unbindDevices(GROUP, options(bus, undefined));
    assert.deepEqual(bus.state(), before);
  });

  it('changes a device from vfio-pci to it, and only when asked to', async () => {
    using files = built(nic());
    const bus = new SimulatedBus(files, {[NIC]: 'mlx5_core'});
    files.write('sys/bus/pci/drivers/mlx5_vfio_pci/uevent', '');
    await bindDevices(GROUP, options(bus, undefined));
    assert.deepEqual(bus.state()[NIC], ['vfio-pci', 'vfio-pci']);
    await bindDevices(GROUP, options(bus, 'auto'));
    assert.deepEqual(bus.state()[NIC], ['mlx5_vfio_pci', 'mlx5_vfio_pci']);
  });

  it('refuses a driver that is not made for the device, and changes nothing', async () => {
    using files = built(nic());
    const bus = new SimulatedBus(files, {[NIC]: 'mlx5_core'});
    await assert.rejects(bindDevices(GROUP, options(bus, 'virtio_vfio_pci')), (error) => {
      assert.ok(error instanceof Failure);
      assert.deepEqual([error.code, error.exitCode], ['CANNOT_BIND', 5]);
      assert.match(error.why, /No alias of virtio_vfio_pci names it/);
      return true;
    });
    assert.deepEqual(bus.writes, []);
  });
});
