import {Failure} from '../failure.js';
import type {Descriptor} from '../linux/descriptor.js';
import {SyscallError} from '../linux/errno.js';
import {findDescriptors} from '../linux/proc/find-descriptors.js';
import {isProgram} from '../linux/proc/is-program.js';
import {sameFile} from '../linux/proc/kcmp.js';
import {KVM_VM} from '../kvm/links.js';
import {Pidfd} from '../linux/proc/pidfd.js';
import {processStart} from '../linux/proc/start-time.js';
import {commOf, Process} from '../linux/proc/process.js';
import {createdBy, isOfDescriptor, vmFolders} from './created-vms.js';
import {mayInspectAll, howToInspect} from './inspect-permission.js';

/** A process that may have created a VM: it has a descriptor of it. */
export interface OwnerCandidate {
  pid: number;
  /** Its name. The process chose it. */
  comm: string;
  /** Number of the VM's descriptor in it. */
  vmFd: number;
  /** KVM itself names this process as the creator. */
  proven: boolean;
}

export interface FindOwnerOptions {
  /** A process that is likely to be the owner: who listened at the socket, or was named. */
  hint?: number;
  /** Where debugfs is mounted. */
  debugfs?: string;
}

/**
 * The processes that may own a VM, the likeliest first. There is at least one.
 *
 * That a process has a descriptor of this very VM is proved by kcmp(2). Whether it created the VM or only inherited
 * or received the descriptor, KVM shows root its creator in debugfs, and then only that process is returned. Otherwise whoever
 * uses a candidate goes on to the next when it answers EIO, which KVM does before it looks at a request.
 *
 * @param vm - a descriptor of kvfio's own
 * @throws {@link Failure}: notFound when no process has it, permission when kvfio may not see who has
 */
export const findOwners = (
  vm: Descriptor,
  {hint, debugfs = '/sys/kernel/debug'}: FindOwnerOptions = {},
): [OwnerCandidate, ...OwnerCandidate[]] => {
  const holders: Holder[] = [];
  const {pids, hidden: closed} = findDescriptors(KVM_VM);
  let hidden = closed;
  for (const pid of pids) {
    const holder = holderOf(vm, pid);
    if (holder === 'hidden') hidden += 1;
    else if (holder !== null) holders.push(holder);
  }
  // who inherited a descriptor began later than who created the VM
  holders.sort((a, b) => Number(b.pid === hint) - Number(a.pid === hint) || a.start - b.start);
  const folders = vmFolders(debugfs);
  const creators = holders.filter((holder) => isCreator(holder, folders));
  const chosen = creators.length === 1 ? creators : holders;
  const [first, ...others] = chosen.map((holder) => candidate(holder, creators.length === 1));
  if (first === undefined) throw noOwner(hidden);
  return [first, ...others];
};

/** Whether a process still has this VM under this number, and is not another one with the same process id. */
export const holdsVm = (vm: Descriptor, {pid, vmFd}: Pick<OwnerCandidate, 'pid' | 'vmFd'>): boolean =>
  unlessHidden(pid, () => isThisVm(vm, pid, vmFd), false) ?? false;

/**
 * A descriptor of kvfio's own for the VM of a process. The caller closes it.
 *
 * @param vmFd - its number in the process, needed when that has several VMs
 * @throws {@link Failure}: notFound, permission, or usage when it would have to be guessed
 */
export const vmOfProcess = (pid: number, vmFd?: number): Descriptor => {
  const subject = `Process ${pid}`;
  try {
    // held from here on, so that its number cannot pass to another process
    using pidfd = Pidfd.open(pid);
    const links = new Process(pid).descriptors();
    const vms = [...links].filter(([, link]) => link === KVM_VM).map(([fd]) => fd);
    if (vmFd !== undefined && !vms.includes(vmFd)) throw notAVmThere(subject, vmFd, links.get(vmFd), vms);
    const [first, ...others] = vmFd === undefined ? distinct(pid, vms) : [vmFd];
    if (first === undefined) throw noVmThere(subject);
    if (others.length > 0) throw severalVms(subject, [first, ...others]);
    const vm = pidfd.getfd(first);
    if (new Process(process.pid).descriptor(vm.fd) === KVM_VM) return vm;
    vm[Symbol.dispose](); // replaced meanwhile
    throw noVmThere(subject);
  } catch (error) {
    throw error instanceof SyscallError ? notReadable(subject, error) : error;
  }
};

interface Holder {
  pid: number;
  fds: number[];
  /** Clock ticks after boot. */
  start: number;
}

const candidate = ({pid, fds}: Holder, proven: boolean): OwnerCandidate => ({
  pid,
  comm: commOf(pid),
  vmFd: fds[0] ?? -1,
  proven,
});

/** A process other than kvfio as one that has a VM; null when it does not. */
const holderOf = (vm: Descriptor, pid: number): Holder | 'hidden' | null => {
  if (pid === process.pid) return null;
  const fds = unlessHidden(pid, () => descriptorsOf(vm, pid), []);
  if (fds === null) return 'hidden';
  return fds.length === 0 ? null : {pid, fds, start: processStart(pid) ?? Infinity};
};

/** Numbers of the descriptors that a process has of a VM. */
const descriptorsOf = (vm: Descriptor, pid: number): number[] =>
  [...new Process(pid).descriptors()]
    .filter(([fd, link]) => link === KVM_VM && isThisVm(vm, pid, fd))
    .map(([fd]) => fd);

const isThisVm = (vm: Descriptor, pid: number, fd: number): boolean => {
  try {
    return sameFile(process.pid, vm.fd, pid, fd);
  } catch (error) {
    if (error instanceof SyscallError && error.code === 'EBADF') return false; // closed meanwhile
    if (error instanceof SyscallError && error.code === 'ENOSYS') throw noKcmp(error);
    throw error;
  }
};

/** One descriptor of each VM in a process. */
const distinct = (pid: number, fds: readonly number[]): number[] =>
  fds.filter((fd, index) => !fds.slice(0, index).some((other) => sameFile(pid, fd, pid, other)));

/** Whether KVM names a process as the creator of the VM that it has these descriptors of. No is not certain. */
const isCreator = ({pid, fds}: Holder, folders: readonly string[]): boolean =>
  createdBy(new Process(pid), folders).some((folder) => fds.some((fd) => isOfDescriptor(folder, fd)));

/** What is read of a process: null when kvfio may not, `gone` when the process ends, or is none of programs. */
const unlessHidden = <T>(pid: number, read: () => T, gone: T): T | null => {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    // readlink in /proc/PID/fd is EACCES too when the process is gone (proc_pid_readlink in fs/proc/base.c)
    if (error.code === 'EACCES' || error.code === 'EPERM') return isProgram(`/proc/${pid}`) ? null : gone;
    if (error.code === 'ENOENT' || error.code === 'ESRCH') return gone;
    throw error;
  }
};

const noOwner = (hidden: number): Failure =>
  hidden === 0 || mayInspectAll()
    ? new Failure({
        code: 'OWNER_GONE',
        kind: 'notFound',
        what: 'The owner of the VM was not found.',
        why: `No other process of this PID namespace has a descriptor of it${hidden === 0 ? '' : ` (${hidden} could not be looked at)`}.`,
        hint: 'Start the VM anew; or run kvfio where its VMM runs, when that is in another container.',
      })
    : new Failure({
        code: 'OWNER_HIDDEN',
        kind: 'permission',
        what: 'The owner of the VM was not found.',
        why: `It may be one of the ${hidden} processes whose descriptors you may not see.`,
        hint: howToInspect(),
      });

const noKcmp = (cause: SyscallError): Failure =>
  new Failure({
    code: 'NO_KCMP',
    kind: 'cannotDecide',
    what: "Cannot determine the VM's owner.",
    why: 'This kernel has no kcmp (CONFIG_KCMP), which compares open files of two processes.',
    hint: 'Use a VMM that speaks the agent protocol (--via agent).',
    errno: cause.code,
    cause,
  });

const noVmThere = (subject: string): Failure =>
  new Failure({
    code: 'NO_VM_IN_PROCESS',
    kind: 'notFound',
    what: `${subject} has no VM.`,
    why: `None of its descriptors is ${KVM_VM}.`,
    hint: 'Name the process that created the VM; the parent of a VMM has none itself.',
  });

const notAVmThere = (subject: string, fd: number, link: string | undefined, vms: number[]): Failure =>
  new Failure({
    code: 'NO_VM_IN_PROCESS',
    kind: 'notFound',
    what: `${subject} has no VM with the descriptor ${fd}.`,
    why: link === undefined ? 'That number is not open there.' : `That is ${link}.`,
    hint: vms.length === 0 ? 'Name the process that created the VM.' : `Its VMs: ${vms.join(', ')}.`,
  });

const severalVms = (subject: string, fds: number[]): Failure =>
  new Failure({
    code: 'SEVERAL_VMS',
    kind: 'usage',
    what: `${subject} has ${fds.length} VMs.`,
    why: `kvfio does not guess which one you mean: descriptors ${fds.join(', ')}.`,
    hint: 'Choose one with --vm-fd.',
  });

const notReadable = (subject: string, error: SyscallError): Failure => {
  const denied = error.code === 'EACCES' || error.code === 'EPERM';
  const gone = ['ENOENT', 'ESRCH', 'EINVAL', 'EBADF'].includes(error.code);
  return new Failure({
    code: denied ? 'PROCESS_NOT_PERMITTED' : gone ? 'PROCESS_NOT_FOUND' : 'PROCESS_NOT_READ',
    kind: denied ? 'permission' : gone ? 'notFound' : 'kernelRefused',
    what: `${subject} could not be looked at.`,
    why: denied
      ? `The kernel does not let you see its descriptors (${error.code}).`
      : gone
        ? 'There is no such process, or it ended meanwhile.'
        : `The kernel answered ${error.code} to ${error.syscall}.`,
    hint: denied
      ? howToInspect()
      : 'Run "kvfio vms" to see the processes that have a VM. Name the id of a process, not of a thread.',
    errno: error.code,
    cause: error,
  });
};
