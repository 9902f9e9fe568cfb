import {posix} from 'node:path';
import {Attributes} from '../host/attributes.js';
import type {Host} from '../iommu/host.js';
import {readKernel, type Kernel} from '../iommu/kernel.js';
import type {Confidence, Verdict} from '../iommu/snoop-control.js';
import {DirectoryTree} from '../host/directory-tree.js';
import {SyscallError} from '../linux/errno.js';
import type {HostTree} from '../host/tree.js';
import {KVM_VFIO} from '../kvm/links.js';
import type {Process} from '../linux/proc/process.js';
import type {ProcessStatus} from '../linux/proc/status.js';
import {parseUserNames} from '../host/users.js';
import {readCdevNodes, type CdevNode} from '../vfio/cdev-node.js';
import {readGroupNodes, type GroupNode} from '../vfio/group-node.js';
import {findVms, type FoundVm} from '../vm/find-vms.js';
import {vmmName, type Vmm} from '../vm/vmm-name.js';
import {remarks, type Remark} from './change-document.js';
import {vmCoherency, type Coherency, type Cpu, type Registration} from './coherency.js';
import type {containerOf} from '../vfio/container-of.js';
import {readCpu} from './cpu.js';
import {groupCoherency, type FileCoherency} from './model/enforced-coherent.js';

/** What `kvfio vms --json` prints. */
export interface VmsDocument {
  schemaVersion: 1;
  vms: ListedVm[];
  /** How many processes were looked into. */
  looked: number;
  /** How many were not, for want of permission: they may have VMs, too. */
  hidden: number;
  warnings: Remark[];
}

/** One VM of this host. Null is what could not be found out. */
export interface ListedVm {
  /** Process that owns it. */
  pid: number;
  /** Number of its descriptor there. */
  fd: number;
  /** KVM itself names this process as its creator; otherwise it is the first that had the VM. */
  proven: boolean;
  /** Further processes that have a descriptor of it. */
  holders: number[];
  /** Name of the owner's process, which chose it. */
  command: string;
  vmm: Vmm | null;
  /** The name that its VMM was given for it. */
  name: string | null;
  /** The argument of the VMM that says so. */
  nameFrom: string | null;
  /** Effective user of the owner. */
  uid: number | null;
  /** Name of the user `uid`; null when /etc/passwd has none. */
  user: string | null;
  /** Null when the owner has several VMs and debugfs does not say whose they are. */
  vcpus: number | null;
  /**
   * Bytes of memory that the owner has at present: what the guest has touched so far, or all of it once VFIO has pinned
   * it, and the VMM's own. The size that the guest was given is not to be seen from outside.
   */
  memory: {
    /** Resident pages (VmRSS). */
    resident: number | null;
    /** Huge pages of hugetlbfs, which are not among them. */
    hugetlb: number | null;
  };
  /** Threads of the owner. */
  threads: number | null;
  /** Whether a thread of the owner has a seccomp filter, or is in strict mode. */
  seccomp: 'none' | 'strict' | 'filter' | null;
  /** Seconds since the owner's process began. */
  age: number | null;
  /** How many VMs the owner has; what it holds is listed with each of them. */
  vmsOfOwner: number;
  /** The kvm-vfio device: a descriptor of the owner, null when it has none, or when kvfio cannot determine to which VM the device belongs. */
  device: {fd: number | null; all: number[]};
  /** VFIO groups that the owner has open. */
  groups: ListedFile[];
  /** VFIO devices that it has open through /dev/vfio/devices. */
  cdevs: HeldCdev[];
  coherency: PredictedCoherency;
}

/** A VFIO file that the owner of a VM has open. */
export interface ListedFile extends FileCoherency {
  /** Null for a device in no group. */
  group: number | null;
  /** Number of its descriptor in the owner. */
  fd: number;
  /** Members of the group that VFIO drivers have. */
  devices: string[];
}

export interface HeldCdev extends ListedFile {
  /** `vfio3`. */
  name: string;
}

/** What KVM takes the VM for. */
export interface PredictedCoherency extends Coherency {
  /**
   * What that rests on, since the kernel does not list what is registered: `nothing` when the owner has no kvm-vfio
   * device or no VFIO file, `all-held` that all files it has are registered, as VMMs do.
   */
  assumes: 'nothing' | 'all-held';
}

/**
 * Lists the VMs of a host, from /proc alone: no process is stopped, and nothing is asked of its VMs.
 *
 * @param root - folder of the machine to look at, '' for this one
 */
export const listVms = async (root = ''): Promise<VmsDocument> => {
  const {
    vms: found,
    hidden,
    looked,
  } = await findVms({proc: `${root}/proc`, debugfs: `${root}/sys/kernel/debug`});
  const tree = new DirectoryTree(root);
  const held = found.length === 0 ? [] : heldFiles(found, tree);
  const ids = held.flatMap(({file}) => file.node.group ?? []);
  const host = ids.length === 0 ? null : await readGroups(tree, ids);
  const kernel = host?.kernel ?? readKernel(new Attributes(tree));
  const asksContainer = host !== null && root === '' && kernel.coherencyRule !== 'devices';
  const context: Context = {
    host,
    kernel,
    containerOf: asksContainer ? (await import('../vfio/container-of.js')).containerOf : null,
    cpu: found.length === 0 ? null : readCpu(tree),
    users: found.length === 0 ? new Map<number, string>() : readUsers(tree),
    uptime: readUptime(tree),
    held,
  };
  const vms = found.map((vm) => listVm(vm, context));
  const gone = vms.filter((vm) => vm === 'hidden').length;
  return {
    schemaVersion: 1,
    vms: vms.filter((vm) => typeof vm === 'object').filter((vm) => vm !== null),
    looked: looked - gone,
    hidden: hidden + gone,
    warnings: [...remarks(host?.warnings ?? []), ...hiddenProcesses(tree)],
  };
};

interface Context {
  /** Null where it does not matter, and for another machine than this. */
  containerOf: typeof containerOf | null;
  /** The machine with the groups that VMs hold; null when none is held. */
  host: Host | null;
  kernel: Kernel;
  cpu: Cpu;
  users: Map<number, string>;
  /** Seconds since boot. */
  uptime: number | null;
  held: Held[];
}

/** Loaded only where a VM has a group: most have none. */
const readGroups = async (tree: HostTree, ids: readonly number[]): Promise<Host> =>
  (await import('../iommu/host.js')).readHost(tree, {onlyGroups: ids, details: false, noSnoop: false});

/** A descriptor of a process that is of a VFIO node. */
interface Held {
  pid: number;
  fd: number;
  file: {kind: 'group'; node: GroupNode} | {kind: 'cdev'; node: CdevNode};
}

/** Found by device number, because a node may have any path in the mount namespace of a VMM. */
const heldFiles = (found: readonly FoundVm[], tree: HostTree): Held[] => {
  const files = new Map<number, Held['file']>([
    ...readGroupNodes(tree).map((node): [number, Held['file']] => [node.device, {kind: 'group', node}]),
    ...readCdevNodes(tree).map((node): [number, Held['file']] => [node.device, {kind: 'cdev', node}]),
  ]);
  if (files.size === 0) return [];
  const owners = new Map(found.map(({owner, links}) => [owner, links]));
  return [...owners].flatMap(([owner, links]) =>
    [...links].flatMap(([fd, link]) => {
      const file = isDevice(link) ? files.get(deviceOf(owner, fd)) : undefined;
      return file === undefined ? [] : [{pid: owner.pid, fd, file}];
    }),
  );
};

/** Only of such files is the device number asked: a disk image may be on a file server that does not answer. */
const isDevice = (link: string): boolean => link.startsWith('/dev/') || /^\/(?:.*\/)?vfio/.test(link);

const deviceOf = (owner: Process, fd: number): number => {
  try {
    return owner.deviceOf(fd);
  } catch (error) {
    if (error instanceof SyscallError) return 0; // closed meanwhile
    throw error;
  }
};

/** Null for a process that has ended meanwhile, `hidden` for one that may not be looked at any more. */
const listVm = (vm: FoundVm, context: Context): ListedVm | 'hidden' | null => {
  const {owner, start, links} = vm;
  try {
    const status = owner.status();
    if (status.state === 'Z' || status.state === 'X') return null;
    const command = owner.comm();
    const {vmm, name, source} = vmmName(owner.cmdline(), command);
    const all = [...links].flatMap(([fd, link]) => (link === KVM_VFIO ? [fd] : []));
    return {
      pid: owner.pid,
      fd: vm.vmFd,
      proven: vm.proven,
      holders: vm.holders,
      command,
      vmm,
      name,
      nameFrom: source,
      uid: status.uid,
      user: status.uid === null ? null : (context.users.get(status.uid) ?? null),
      vcpus: vm.vcpus,
      memory: {resident: status.resident, hugetlb: status.hugetlb},
      threads: status.threads,
      seccomp: seccompOf(owner, status),
      age: context.uptime === null ? null : Math.max(0, Math.round(context.uptime - start / USER_HZ)),
      vmsOfOwner: vm.siblings,
      // several descriptors of a process with one VM are of one device, since a VM has one
      device: {fd: vm.siblings > 1 ? null : (all[0] ?? null), all},
      ...heldBy(vm, all.length > 0, context),
    };
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    return error.code === 'EACCES' || error.code === 'EPERM' ? 'hidden' : null;
  }
};

/** Clock ticks in a second, in which /proc counts on every architecture that KVM is for. */
const USER_HZ = 100;

/** Each thread has filters of its own. Looking ends at the first that has one. */
const seccompOf = (owner: Process, ofFirst: ProcessStatus): ListedVm['seccomp'] => {
  let [strict, known] = [false, false];
  for (const {seccomp} of [ofFirst, ...otherThreads(owner)]) {
    if (seccomp === 2) return 'filter';
    strict ||= seccomp === 1;
    known ||= seccomp !== null;
  }
  return strict ? 'strict' : known ? 'none' : null;
};

function* otherThreads(owner: Process): Generator<ProcessStatus> {
  for (const tid of owner.tasks()) {
    if (tid === owner.pid) continue;
    try {
      yield owner.status(tid);
    } catch (error) {
      if (!(error instanceof SyscallError)) throw error; // the thread has ended
    }
  }
}

type Holdings = Pick<ListedVm, 'groups' | 'cdevs' | 'coherency'>;

const heldBy = (vm: FoundVm, hasDevice: boolean, context: Context): Holdings => {
  const {held, host, kernel, cpu} = context;
  const groups: ListedFile[] = [];
  const cdevs: HeldCdev[] = [];
  for (const {fd, file} of held.filter(({pid}) => pid === vm.owner.pid)) {
    const group = host?.groups.find(({id}) => id === file.node.group);
    const members = group?.devices ?? [];
    if (file.kind === 'group') {
      const container = context.containerOf?.(vm.owner.pid, fd) ?? 'unknown';
      groups.push({
        group: file.node.group,
        fd,
        devices: members.filter(({boundToVfio}) => boundToVfio).map(({address}) => address),
        ...(group === undefined ? UNKNOWN : groupCoherency(group, kernel.coherencyRule, container)),
      });
    } else {
      const {path, address} = file.node;
      const snoop = members.find((device) => device.address === address)?.snoopControl ?? UNKNOWN;
      const {verdict, confidence} = snoop;
      cdevs.push({
        name: posix.basename(path),
        group: file.node.group,
        fd,
        devices: [address],
        verdict,
        confidence,
      });
    }
  }
  const files = [...oncePerGroup(groups), ...cdevs];
  // kvfio cannot determine to which of several VMs a device belongs
  const registered = hasDevice && (vm.siblings > 1 ? null : true);
  const registrations = files.map((file): Registration => ({...file, registered}));
  return {
    groups: oncePerGroup(groups),
    cdevs,
    coherency: {
      ...vmCoherency(registrations, kernel, cpu),
      assumes: registered === true && files.length > 0 ? 'all-held' : 'nothing',
    },
  };
};

const UNKNOWN: {verdict: Verdict; confidence: Confidence} = {verdict: 'unknown', confidence: 'none'};

/** A group can be open only once, so further descriptors of it are of the same open file. */
const oncePerGroup = (groups: readonly ListedFile[]): ListedFile[] =>
  groups
    .filter(({group}, index) => groups.findIndex((other) => other.group === group) === index)
    .sort((a, b) => (a.group ?? 0) - (b.group ?? 0));

const readUsers = (tree: HostTree): Map<number, string> => {
  const text = tree.text('/etc/passwd', 4 * 1024 * 1024);
  return text instanceof SyscallError ? new Map<number, string>() : parseUserNames(text);
};

const readUptime = (tree: HostTree): number | null => {
  const text = tree.text('/proc/uptime');
  const seconds = text instanceof SyscallError ? NaN : Number(text.split(' ', 1)[0]);
  return Number.isFinite(seconds) ? seconds : null;
};

/** With the mount option hidepid=2 the processes of others are not even counted (proc(5)). */
const hiddenProcesses = (tree: HostTree): Remark[] => {
  const mounts = tree.text('/proc/self/mounts', 1024 * 1024);
  const [, hidepid] =
    mounts instanceof SyscallError ? [] : (/^\S+ \/proc proc \S*?\bhidepid=(\w+)/m.exec(mounts) ?? []);
  if (hidepid === undefined || /^(?:0|off|1|noaccess)$/.test(hidepid) || process.geteuid?.() === 0) return [];
  return [
    {
      code: 'HIDEPID',
      message: `/proc is mounted with hidepid=${hidepid}, so processes of other users are not even counted`,
    },
  ];
};
