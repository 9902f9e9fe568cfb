import {Failure} from '../failure.js';
import {readHost, requireGroups, type Host} from '../iommu/host.js';
import type {Group} from '../iommu/group.js';
import {SyscallError} from '../linux/errno.js';
import type {HostTree} from '../linux/host-tree.js';
import {sameFile} from '../linux/kcmp.js';
import {KVM_VFIO, KVM_VM} from '../linux/kvm-links.js';
import {Process} from '../linux/process.js';
import type {ReachedVm} from '../vm/reach-owner.js';
import {openedByKvfio} from '../vfio/group-file.js';
import {deviceNumber, readGroupNodes, type GroupNode} from '../vfio/group-node.js';
import {deviceOf} from '../vfio/holders.js';
import {groupCoherency, type Cpu, type Registration} from './coherency.js';
import {containerOf} from './container-of.js';
import {readCpu} from './cpu.js';

/** A group that the owner of a VM has open. */
export interface HeldGroup extends Registration {
  group: Group;
  node: GroupNode;
  /** Number of its descriptor in the owner. */
  fd: number;
  /** kvfio opened it and handed it over; null when that cannot be seen. */
  given: boolean | null;
}

/** All that a change of a VM's kvm-vfio device depends on, as found. */
export interface VmFacts {
  /** Numbers in the owner of its kvm-vfio devices. */
  devices: number[];
  /** The one of this VM; null when there is none, or when which one it is would be a guess. */
  device: number | null;
  ambiguous: boolean;
  held: HeldGroup[];
  /** With the groups that were asked for and those that are held. */
  host: Host;
  nodes: GroupNode[];
  cpu: Cpu;
}

export interface FactsOptions {
  /** Groups that have to exist. */
  groups: readonly number[];
  /** The kvm-vfio device's descriptor in the owner, as its user says. */
  deviceFd: number | undefined;
  tree: HostTree;
}

/**
 * Looks at a VM's owner and at the machine, and changes nothing.
 *
 * @throws {@link Failure} when a group or the device that was named does not exist
 */
export const readFacts = (vm: ReachedVm, {groups, deviceFd, tree}: FactsOptions): VmFacts => {
  const nodes = readGroupNodes(tree);
  const {devices, several, files} = readHoldings(vm, nodes);
  const ids = [...new Set([...groups, ...files.map(({node}) => node.group)])];
  const host = readHost(tree, {onlyGroups: ids, details: false, noSnoop: false});
  requireGroups(host, groups);
  if (deviceFd !== undefined && !devices.includes(deviceFd)) throw noSuchDevice(vm, deviceFd, devices);
  const ambiguous = deviceFd === undefined && several;
  return {
    devices,
    device: deviceFd ?? (ambiguous ? null : (devices[0] ?? null)),
    ambiguous,
    held: files.flatMap((file) => {
      const group = host.groups.find(({id}) => id === file.node.group);
      if (group === undefined) return []; // gone meanwhile
      const {coherencyRule: rule} = host.kernel;
      const container = rule === 'devices' ? 'unknown' : containerOf(vm.pid, file.fd);
      return [{...file, group, ...groupCoherency(group, rule, container)}];
    }),
    host,
    nodes,
    cpu: readCpu(tree),
  };
};

/** For those who only look: where kvfio may not ask, the likeliest process is taken for the owner. */
export const settleIfPossible = (vm: ReachedVm): void => {
  try {
    vm.settle();
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
  }
};

/**
 * The descriptor of the VM's kvm-vfio device in its owner, null when it has none.
 *
 * @throws {@link Failure} when that would be a guess
 */
export const certainDevice = ({ambiguous, device, devices}: VmFacts): number | null => {
  if (!ambiguous) return device;
  throw new Failure({
    code: 'SEVERAL_DEVICES',
    kind: 'usage',
    what: 'Which kvm-vfio device is that of the VM cannot be told.',
    why: `Its owner has several VMs or devices (descriptors ${devices.join(', ')}), and the kernel does not show what belongs together.`,
    hint: 'Name the descriptor with --device-fd.',
  });
};

/** @throws {@link Failure} when it has gone meanwhile */
export const groupWithId = ({host}: VmFacts, id: number): Group => {
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

interface Holdings {
  devices: number[];
  /** It cannot be told which device is this VM's. */
  several: boolean;
  files: Pick<HeldGroup, 'node' | 'fd' | 'given' | 'registered'>[];
}

/** What /proc shows, and what the agent says. One of the two may not be there. */
const readHoldings = (vm: ReachedVm, nodes: readonly GroupNode[]): Holdings => {
  const told = vm.agent?.held() ?? [];
  const owner = new Process(vm.pid);
  const links = visible(owner);
  const seen = distinctOf(links, KVM_VFIO, vm.pid);
  const agents = told.flatMap(({kind, fd}) => (kind === 'given' ? [] : [fd]));
  // an agent has devices of its own VM only
  const devices = agents.length > 0 ? agents : seen;
  const vms = agents.length > 0 ? 1 : distinctOf(links, KVM_VM, vm.pid).length;

  const files = new Map<number, Holdings['files'][number]>();
  const nodeOf = (device: number): GroupNode | undefined => nodes.find((node) => node.device === device);
  for (const [fd, link] of links) {
    const node = link.startsWith('/') ? nodeOf(deviceOf(owner, fd)) : undefined;
    if (node !== undefined) files.set(fd, {node, fd, given: openedByKvfio(vm.pid, fd), registered: null});
  }
  for (const {fd, kind, registered, major, minor} of told) {
    const node = kind === 'given' ? nodeOf(deviceNumber(major, minor)) : undefined;
    if (node !== undefined) files.set(fd, {node, fd, given: true, registered: registered || null});
  }
  // a group can be open only once, so further descriptors of it are of the same open file
  const byGroup = new Map([...files.values()].reverse().map((file) => [file.node.group, file]));
  return {
    devices,
    several: devices.length > 1 || (devices.length === 1 && vms > 1),
    files: [...byGroup.values()].sort((a, b) => a.node.group - b.node.group),
  };
};

const visible = (owner: Process): Map<number, string> => {
  try {
    return owner.descriptors();
  } catch (error) {
    if (error instanceof SyscallError) return new Map();
    throw error;
  }
};

/** One descriptor of each open file with this link. */
const distinctOf = (links: ReadonlyMap<number, string>, wanted: string, pid: number): number[] => {
  const fds = [...links].filter(([, link]) => link === wanted).map(([fd]) => fd);
  return fds.filter((fd, index) => !fds.slice(0, index).some((other) => isSame(pid, fd, other)));
};

const isSame = (pid: number, fd: number, other: number): boolean => {
  try {
    return sameFile(pid, fd, pid, other);
  } catch (error) {
    if (error instanceof SyscallError) return false;
    throw error;
  }
};

const noSuchDevice = ({pid}: ReachedVm, fd: number, devices: readonly number[]): Failure =>
  new Failure({
    code: 'NO_SUCH_DEVICE',
    kind: 'notFound',
    what: `Process ${pid} has no kvm-vfio device with the descriptor ${fd}.`,
    why:
      devices.length === 0
        ? `None of its descriptors is ${KVM_VFIO}.`
        : `Its kvm-vfio devices: ${devices.join(', ')}.`,
    hint: 'Leave out --device-fd, or name one of these.',
  });
