import {readdirSync} from 'node:fs';
import {Failure} from '../failure.js';
import {SyscallError} from '../linux/errno.js';
import {findDescriptors} from '../linux/proc/find-descriptors.js';
import type {compareFiles} from '../linux/proc/kcmp.js';
import {KVM_VCPU, KVM_VM} from '../kvm/links.js';
import {processStart} from '../linux/proc/start-time.js';
import {Process} from '../linux/proc/process.js';
import {createdBy, isOfDescriptor, vmFolders} from './created-vms.js';

/** A VM of this host, by the process that has it. */
export interface FoundVm {
  owner: Process;
  /** When that process began, in clock ticks after boot. */
  start: number;
  /** Number of the VM's descriptor in it, the lowest if there are several. */
  vmFd: number;
  /** KVM itself names this process as the VM's creator. */
  proven: boolean;
  /** Other processes that have a descriptor of it: they inherited it or were sent it. */
  holders: number[];
  /** Number of vCPUs; null where the process has several VMs and KVM does not say whose they are. */
  vcpus: number | null;
  /** How many VMs the process has. */
  siblings: number;
  /** What each descriptor of the process links to. */
  links: Map<number, string>;
}

export interface FoundVms {
  vms: FoundVm[];
  /** How many processes could not be looked into, and how many were. */
  hidden: number;
  looked: number;
}

export interface FindVmsOptions {
  /** Where procfs is mounted; only of this machine's own can KVM be asked which descriptors are of one VM. */
  proc?: string;
  /** Where debugfs is mounted. */
  debugfs?: string;
}

/**
 * Every VM of this host that can be seen, by ascending process.
 *
 * A VM that several processes have is one VM (kcmp(2) shows it), and belongs to the process that created it as far as
 * debugfs says, else to the one that began first. A process that ends meanwhile is passed over.
 */
export const findVms = async ({
  proc = '/proc',
  debugfs = '/sys/kernel/debug',
}: FindVmsOptions = {}): Promise<FoundVms> => {
  const {pids, hidden, looked} = findDescriptors(KVM_VM, proc);
  const folders = pids.length === 0 ? [] : vmFolders(debugfs);
  const holders = pids.flatMap((pid) => readHolder(pid, proc, folders) ?? []);
  const claims = holders.flatMap((holder) => holder.fds.map((fd) => ({holder, fd})));
  // what makes system calls is loaded by those who have something to compare
  const compare =
    claims.length > 1 && proc === '/proc' ? (await import('../linux/proc/kcmp.js')).compareFiles : null;
  const vms = oneVmEach(claims, compare).map((of) => describeVm(withoutInherited(of, proc), debugfs));
  const siblings = (pid: number): number => vms.filter(({owner}) => owner.pid === pid).length;
  return {
    hidden,
    looked,
    vms: vms
      .map((vm) => ({...vm, siblings: siblings(vm.owner.pid)}))
      .map((vm) => ({...vm, vcpus: vm.vcpus ?? (vm.siblings === 1 ? vcpusOf(vm.links) : null)}))
      .sort((a, b) => a.owner.pid - b.owner.pid || a.vmFd - b.vmFd),
  };
};

interface Holder {
  owner: Process;
  start: number;
  links: Map<number, string>;
  /** Its descriptors of VMs. */
  fds: number[];
  /** Folders of debugfs that name VMs which one of its threads created. */
  created: string[];
}

/** A descriptor of a VM. */
interface Claim {
  holder: Holder;
  fd: number;
}

/** Null when the process has ended, or hides itself since it was found. */
const readHolder = (pid: number, proc: string, folders: readonly string[]): Holder | null =>
  unlessRefused(() => {
    const owner = new Process(pid, proc);
    const links = owner.descriptors();
    const start = processStart(pid, proc);
    const fds = [...links].filter(([, link]) => link === KVM_VM).map(([fd]) => fd);
    if (start === null || fds.length === 0) return null;
    return {owner, start, links, fds, created: createdBy(owner, folders)};
  });

/** Puts together what is of one VM. Sorted by their open files, n descriptors take n log n comparisons. */
const oneVmEach = (claims: readonly Claim[], compare: typeof compareFiles | null): Claim[][] => {
  if (compare === null) return claims.map((claim) => [claim]);
  const byFile = order(compare);
  const vms: Claim[][] = [];
  for (const claim of [...claims].sort(byFile)) {
    const [last] = vms.at(-1) ?? [];
    if (last !== undefined && byFile(last, claim) === 0) vms.at(-1)?.push(claim);
    else vms.push([claim]);
  }
  return vms;
};

/** What cannot be compared, because one of the two is gone or the kernel has no kcmp, counts as different. */
const order =
  (compare: typeof compareFiles) =>
  (a: Claim, b: Claim): number => {
    const known = unlessRefused(() => compare(a.holder.owner.pid, a.fd, b.holder.owner.pid, b.fd));
    return known ?? (a.holder.owner.pid - b.holder.owner.pid || a.fd - b.fd);
  };

/** What kvfio has of a VM that another process has, too, it has inherited from that. */
const withoutInherited = (claims: readonly Claim[], proc: string): readonly Claim[] => {
  const others = claims.filter(({holder}) => proc !== '/proc' || holder.owner.pid !== process.pid);
  return others.length === 0 ? claims : others;
};

const describeVm = (claims: readonly Claim[], debugfs: string): Omit<FoundVm, 'siblings'> => {
  const isCreator = ({holder, fd}: Claim): boolean =>
    holder.created.some((folder) => isOfDescriptor(folder, fd));
  const [first, ...others] = [...claims].sort(
    (a, b) =>
      Number(isCreator(b)) - Number(isCreator(a)) ||
      a.holder.start - b.holder.start ||
      a.holder.owner.pid - b.holder.owner.pid ||
      a.fd - b.fd,
  ) as [Claim, ...Claim[]];
  const {owner, start, links, created} = first.holder;
  const own = claims.filter(({holder}) => holder === first.holder).map(({fd}) => fd);
  const folder = created.find((name) => own.some((fd) => isOfDescriptor(name, fd)));
  const vcpus = folder === undefined ? null : unlessRefused(() => readdirSync(`${debugfs}/kvm/${folder}`));
  return {
    owner,
    start,
    vmFd: Math.min(...own),
    proven: isCreator(first),
    holders: [...new Set(others.map(({holder}) => holder.owner.pid))].filter((pid) => pid !== owner.pid),
    vcpus: vcpus?.filter((name) => /^vcpu\d+$/.test(name)).length ?? null,
    links,
  };
};

/** Several descriptors of one vCPU read the same. */
const vcpusOf = (links: ReadonlyMap<number, string>): number =>
  new Set([...links.values()].filter((link) => link.startsWith(KVM_VCPU))).size;

/** Null where the kernel refuses, and where kvfio cannot make system calls. */
const unlessRefused = <T>(call: () => T): T | null => {
  try {
    return call();
  } catch (error) {
    const isRefused =
      error instanceof SyscallError || (error instanceof Failure && error.kind === 'cannotDecide');
    if (isRefused || (error instanceof Error && 'syscall' in error)) return null;
    throw error;
  }
};
