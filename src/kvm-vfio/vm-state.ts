import {Failure} from '../failure.js';
import type {Device} from '../iommu/device.js';
import {groupOfDevice} from '../iommu/group-of-device.js';
import {readHost, requireGroups, type Host} from '../iommu/host.js';
import type {Group} from '../iommu/group.js';
import type {HostTree} from '../host/tree.js';
import {KVM_VFIO} from '../kvm/links.js';
import type {ReachedVm} from '../owner/reach-owner.js';
import type {Examined} from '../vfio/eligibility/check.js';
import {examine} from '../vfio/eligibility/examined.js';
import {readFileNodes, type FileId, type FileNode} from '../vfio/file-node.js';
import type {Cpu, Registration} from './coherency.js';
import {containerOf} from '../vfio/container-of.js';
import {readCpu} from './cpu.js';
import {readHoldings, type Holding} from './holdings.js';
import {
  deadGroupCoherency,
  deviceCoherency,
  groupCoherency,
  type FileCoherency,
  type GroupContainer,
} from './model/enforced-coherent.js';

/** A file that the owner of a VM has open, with what KVM learns of it. */
export interface HeldFile extends Holding, Registration {
  /** The group that it is, or that the device is in; null when that has gone, see {@link Holding.gone}. */
  group: Group | null;
  /** What a group is in, where this kernel's KVM asks that. */
  container: GroupContainer;
}

/** The devices that KVM looks at when it looks at a file: addresses, those of a group that VFIO drivers have. */
export const devicesOf = ({node, group}: {node: FileNode; group: Group | null}): string[] => {
  if (group === null) return [];
  return node.kind === 'cdev'
    ? [node.address]
    : group.devices.filter(({boundToVfio}) => boundToVfio).map(({address}) => address);
};

/** All that a change of a VM's kvm-vfio device depends on, as found. */
export interface VmState {
  /** Numbers in the owner of its kvm-vfio devices. */
  devices: number[];
  /** The one of this VM; null when there is none, or when which one it is would be a guess. */
  device: number | null;
  ambiguous: boolean;
  /** Whether the owner has several VMs or kvm-vfio devices. */
  several: boolean;
  held: HeldFile[];
  /** The machine with the groups of all files that were asked for and that the owner holds. */
  host: Host;
  /** What says whether VFIO gives a VMM such a group. */
  examined: Examined;
  nodes: FileNode[];
  cpu: Cpu;
}

export interface VmStateOptions {
  /** Groups and devices that have to exist. */
  files: readonly FileId[];
  /** The kvm-vfio device's descriptor in the owner, as its user says. */
  deviceFd: number | undefined;
  tree: HostTree;
}

/**
 * Looks at a VM's owner and at the machine, and changes nothing.
 *
 * @throws {@link Failure} when something that was named does not exist
 */
export const readVmState = (vm: ReachedVm, {files: wanted, deviceFd, tree}: VmStateOptions): VmState => {
  const nodes = readFileNodes(tree);
  const {devices, several, files} = readHoldings(vm, nodes);
  const groups = wanted.map((id) => (id.kind === 'group' ? id.group : groupOfDevice(tree, id.address)));
  const ids = new Set([...groups, ...files.flatMap(({node}) => node.group ?? [])]);
  const host = readHost(tree, {
    onlyGroups: [...ids],
    details: false,
    noSnoop: false,
    regions: true,
  });
  requireGroups(host, groups);
  if (deviceFd !== undefined && !devices.includes(deviceFd)) throw noSuchDevice(vm, deviceFd, devices);
  const ambiguous = deviceFd === undefined && several;
  return {
    devices,
    device: deviceFd ?? (ambiguous ? null : (devices[0] ?? null)),
    ambiguous,
    several,
    held: files.map((file) => {
      const group = file.gone ? undefined : host.groups.find(({id}) => id === file.node.group);
      const container = heldContainer(vm.pid, file, host);
      const coherency = group === undefined ? null : heldCoherency(file, group, {host, container});
      return group === undefined || coherency === null
        ? {...file, group: null, gone: true, container, ...goneCoherency(file, host)}
        : {...file, group, container, ...coherency};
    }),
    host,
    examined: examine(tree, host),
    nodes,
    cpu: readCpu(tree),
  };
};

/**
 * The descriptor of the VM's kvm-vfio device in its owner, null when it has none.
 *
 * @throws {@link Failure} when that would be a guess
 */
export const certainDevice = ({ambiguous, device, devices}: VmState): number | null => {
  if (!ambiguous) return device;
  throw new Failure({
    code: 'SEVERAL_DEVICES',
    kind: 'usage',
    what: 'Cannot determine which kvm-vfio device belongs to the VM.',
    why: `Its owner has several VMs or devices (descriptors ${devices.join(', ')}), and the kernel does not show what belongs together.`,
    hint: 'Name the descriptor with --device-fd.',
  });
};

/** @throws {@link Failure} when it has gone meanwhile */
export const deviceWithAddress = ({host}: VmState, address: string): {device: Device; group: Group} => {
  for (const group of host.groups) {
    const device = deviceIn(group, address);
    if (device !== undefined) return {device, group};
  }
  throw new Failure({
    code: 'DEVICE_NOT_FOUND',
    kind: 'notFound',
    what: `There is no device ${address} any more.`,
    why: 'It has left its IOMMU group.',
    hint: 'Run "kvfio groups" to see the devices there are.',
  });
};

/** @throws {@link Failure} when it has gone meanwhile */
export const groupWithId = ({host}: Pick<VmState, 'host'>, id: number): Group => {
  const group = host.groups.find((candidate) => candidate.id === id);
  if (group !== undefined) return group;
  throw new Failure({
    code: 'GROUP_NOT_FOUND',
    kind: 'notFound',
    what: `There is no IOMMU group ${id} any more.`,
    why: 'Its last device has left it.',
    hint: 'Run "kvfio groups" to see the groups there are.',
  });
};

/** What KVM learns of a file that the owner has open; null when its device has gone meanwhile. */
const heldCoherency = (
  {node}: Holding,
  group: Group,
  {host, container}: {host: Host; container: GroupContainer},
): FileCoherency | null => {
  if (node.kind === 'group') return groupCoherency(group, host.kernel.coherencyRule, container);
  const device = deviceIn(group, node.address);
  return device === undefined ? null : deviceCoherency(device);
};

const heldContainer = (pid: number, {node, fd}: Holding, {kernel}: Host): GroupContainer =>
  node.kind === 'cdev' || kernel.coherencyRule === 'devices' ? 'unknown' : containerOf(pid, fd);

const goneCoherency = ({node}: Holding, {kernel}: Host): FileCoherency =>
  node.kind === 'group' ? deadGroupCoherency(kernel.coherencyRule) : {verdict: 'unknown', confidence: 'none'};

const deviceIn = (group: Group, address: string): Device | undefined =>
  group.devices.find((device) => device.address === address);

const noSuchDevice = ({pid}: ReachedVm, fd: number, devices: readonly number[]): Failure =>
  new Failure({
    code: 'NO_SUCH_DEVICE',
    kind: 'notFound',
    what: `Process ${pid} has no kvm-vfio device with the descriptor ${fd}.`,
    why:
      devices.length === 0
        ? `None of its descriptors is ${KVM_VFIO}.`
        : `Its kvm-vfio devices: ${devices.join(', ')}.`,
    hint: devices.length === 0 ? 'Leave out --device-fd.' : 'Leave out --device-fd, or name one of these.',
  });
