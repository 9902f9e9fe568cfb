import assert from 'node:assert/strict';
import {readHost} from '../../../src/iommu/host.js';
import {DirectoryTree} from '../../../src/host/directory-tree.js';
import {assess} from '../../../src/vfio/eligibility/assess.js';
import {assessAlike} from '../../../src/vfio/eligibility/assess-alike.js';
import {examine} from '../../../src/vfio/eligibility/examined.js';
import {MACHINES} from '../../fixtures/machines.js';
import {
  folderOf,
  intel,
  machine,
  other,
  pci,
  plain,
  port,
  type DeviceSpec,
  type MachineSpec,
} from '../../support/machine.js';

const RELEASES = ['5.10.0', '5.14.0-427.13.1.el9_4.x86_64', '6.1.0-56-amd64', '6.12.107-1-amd64', '7.3.0'];

const physical = pci('0000:40:00.0', {unit: 'dmar0', driver: 'vfio-pci', vfio: ['vfio40']});
const withFiles = (device: DeviceSpec, files: Record<string, string>): DeviceSpec => ({
  ...device,
  files: {...device.files, ...files},
});
const nic = (bus: number, options: Parameters<typeof pci>[1] = {}): DeviceSpec =>
  pci(`0000:${bus.toString(16).padStart(2, '0')}:00.0`, {unit: 'dmar0', driver: 'e1000e', ...options});
const vfios = (bus: number, options: Parameters<typeof pci>[1] = {}): DeviceSpec =>
  nic(bus, {driver: 'vfio-pci', vfio: [`vfio${bus}`], ...options});

/** Devices that are alike for each thing that a check asks, and one that differs in it between those that do not. */
const KINDS: readonly DeviceSpec[] = [
  nic(1),
  withFiles(nic(2), {sriov_numvfs: '3\n'}),
  withFiles(nic(3), {sriov_numvfs: '0\n'}),
  withFiles(nic(4), {sriov_numvfs: '3\n'}),
  nic(5),
  vfios(6),
  withFiles(vfios(7), {'power/runtime_status': 'error\n'}),
  withFiles(vfios(8), {'power/runtime_status': 'active\n'}),
  withFiles(vfios(9), {'tsm/bound': 'tsm0\n'}),
  withFiles(nic(10), {'power/runtime_status': 'error\n', 'tsm/bound': 'tsm0\n'}),
  vfios(11),
  physical,
  vfios(12, {physfn: folderOf(physical)}),
  vfios(13, {physfn: folderOf(physical)}),
  vfios(14, {physfn: folderOf(nic(1))}),
  vfios(15, {physfn: folderOf(nic(1))}),
  nic(16, {physfn: folderOf(nic(1))}),
  nic(17, {config: Buffer.alloc(256, 0xff)}),
  vfios(18, {config: Buffer.alloc(256, 0xff)}),
  withFiles(nic(19, {driver: 'nvidia'}), {'nvidia/current_vgpu_type': '7\n'}),
  withFiles(nic(20, {driver: 'nvidia'}), {'nvidia/current_vgpu_type': '0\n'}),
  nic(21, {driver: null}),
  nic(22, {unit: null}),
  nic(23, {unit: 'odd'}),
  nic(24, {device: '0435'}),
  nic(25, {device: '0b25'}),
  nic(26, {driver: 'pci-stub'}),
  port('0000:1b:00.0', {unit: 'dmar0'}),
  other('platform', 'fd880000.usb', {unit: 'dmar0', driver: 'dwc3'}),
  other('mdev', '83b8f4f2-509f-382f-3c1e-e6bfe0fa1001', {driver: 'vfio_mdev'}),
  nic(28),
  vfios(29),
];

const many: MachineSpec = {
  units: {dmar0: intel('f050da'), odd: plain()},
  groups: {
    ...Object.fromEntries(KINDS.map((device, id) => [id * 3, [device]])),
    1000: {devices: [nic(30)], regions: '0x00000000000e0000 0x00000000000fffff direct\n'},
    1001: [nic(31), vfios(32)],
    1002: [],
    1003: [nic(33)],
    1004: [vfios(34, {unit: null})],
    1005: {name: 'vfio-noiommu', devices: [vfios(35, {unit: null})]},
  },
};

const IOMEM = `c0000000-cfffffff : PCI Bus 0000:00
  c0000000-c0ffffff : 0000:1c:00.0
    c0000000-c07e8fff : BOOTFB
`;

const MANY: Record<string, {spec: MachineSpec; files?: Record<string, string>}> = {
  ...Object.fromEntries(Object.entries(MACHINES).map(([name, spec]) => [name, {spec}])),
  'many kinds': {spec: many},
  'many kinds, and a framebuffer': {
    spec: many,
    files: {'proc/iomem': IOMEM, 'sys/bus/platform/devices/simple-framebuffer.0/uevent': ''},
  },
  'many kinds, without interrupt remapping': {spec: {...many, interrupts: ' 0: 1 IO-APIC timer\n'}},
};

describe('groups that are alike', () => {
  for (const [name, {spec, files = {}}] of Object.entries(MANY)) {
    it(`are judged as each by itself is: ${name}`, () => {
      for (const release of RELEASES) {
        using built = machine({...spec, release});
        for (const [path, text] of Object.entries(files)) built.write(path, text);
        const tree = new DirectoryTree(built.root);
        for (const options of [{regions: true}, {regions: true, noSnoop: false}]) {
          const host = readHost(tree, options);
          const examined = examine(tree, host);
          const alike = assessAlike(examined);
          // twice, so that each kind is met again
          for (const group of [...host.groups, ...host.groups])
            assert.deepEqual(alike(group), assess(examined, group), `${release}, group ${group.id}`);
        }
      }
    });
  }

  it('ask for each file of a device once', () => {
    using built = machine(many);
    const tree = new DirectoryTree(built.root);
    const host = readHost(tree, {regions: true});
    const examined = examine(tree, host);
    const asked: string[] = [];
    const {facts} = examined;
    const counting = new Proxy(facts, {
      get: (_, name) => {
        const value = Reflect.get(facts, name) as unknown;
        if (name !== 'of') return typeof value === 'function' ? (value.bind(facts) as unknown) : value;
        return (path: string, file: string) => {
          asked.push(`${path}/${file}`);
          return facts.of(path, file);
        };
      },
    });
    const alike = assessAlike({...examined, facts: counting});
    host.groups.forEach(alike);
    asked.length = 0;
    // the one with a region of its own is judged by itself
    host.groups.filter(({id, devices}) => id !== 1000 && devices.length === 1).forEach(alike);
    assert.ok(asked.length > 0);
    assert.deepEqual(
      asked.filter((file, at) => asked.indexOf(file) !== at),
      [],
    );
  });
});
