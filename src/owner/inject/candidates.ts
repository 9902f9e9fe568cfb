import type {Process} from '../../linux/proc/process.js';
import type {ProcessMapping} from '../../linux/proc/maps.js';
import type {ProcessStatus} from '../../linux/proc/status.js';
import {SYSCALLS_X64} from '../../linux/syscalls.js';
import type {TaskSyscall} from '../../linux/proc/syscall.js';
import {KVM_RUN} from './interrupted-call.js';
import type {RunningThreads} from './running-threads.js';
import {afterStop, type CallSurroundings} from './waiting-calls.js';
import {SyscallError} from '../../linux/errno.js';

/** A thread of the owner, as /proc shows it before kvfio stops it. */
export interface OwnerThread {
  tid: number;
  comm: string;
  status: ProcessStatus;
  syscall: TaskSyscall | null;
}

/** What a stop disturbs in a thread; the thread with the least is stopped first. */
export const DISTURBANCE = {
  /** The thread waits in a call that the kernel makes again by itself, even if kvfio is killed as it stops the thread. */
  restarts: 0,
  /** An earlier stop interrupted its call already, and the kernel continues that by restart_syscall, as above. */
  continues: 1,
  /** It waits in a call that fails with EINTR, as after a signal, if kvfio is killed as it stops the thread. */
  fails: 2,
  /** It runs, and may have begun any call when the stop comes. */
  runs: 3,
  /** Its name is one that VMMs give to vCPUs, whose guest would stand still meanwhile. */
  vcpu: 4,
} as const;

/**
 * What stopping a thread disturbs, one of {@link DISTURBANCE}. Null when it may not be stopped: it is a vCPU's in KVM_RUN,
 * dying, stopped, traced, not interruptible, has what a signal frame cannot restore, or waits in a call that would end early
 * or for which kvfio does not know what a stop does.
 */
export const disturbance = (
  {comm, status, syscall}: OwnerThread,
  surroundings: CallSurroundings,
): number | null => {
  if (!STOPPABLE.has(status.state ?? '')) return null;
  if (status.tracerPid !== 0 || hasShadowStack(status) || status.seccomp === SECCOMP_MODE_STRICT) return null;
  if (syscall?.kind === 'syscall') {
    if (syscall.number === SYSCALLS_X64.ioctl && syscall.args[1] === BigInt(KVM_RUN)) return null;
    const after = afterStop(syscall.number, syscall.args, surroundings);
    const continues = syscall.number === SYSCALLS_X64.restart_syscall;
    if (after === 'ends-early' || (after === null && !continues)) return null;
    if (NAMED_AS_VCPU.test(comm)) return DISTURBANCE.vcpu;
    return DISTURBANCE[after ?? 'continues'];
  }
  // it may have begun a call when the stop comes
  return DISTURBANCE[NAMED_AS_VCPU.test(comm) ? 'vcpu' : 'runs'];
};

/** A thread that may be stopped. */
export interface Candidate extends OwnerThread {
  /** Whether it may still be stopped. It goes on to something else at any time. */
  mayStillBe: () => boolean;
  /** The same by its call alone, which changes most often and is read most quickly: it waits in a harmless call, or has run for a while. */
  mayStopNow: () => boolean;
}

export interface CandidatesOptions {
  /** Whether a read of a descriptor of the process gathers: it waits for more than one byte, and may have some of them when it is interrupted. */
  gathers: (fd: number) => boolean;
  /** What earlier looks have shown of the threads that run. */
  running: RunningThreads;
}

/** The threads of a process that may be stopped, as the first one is needed, and then the next. */
export function* threadCandidates(
  process: Process,
  {gathers, running}: CandidatesOptions,
): Generator<Candidate, void> {
  const others: {task: Candidate; rank: number}[] = [];
  let maps: ProcessMapping[] | undefined;
  const canWrite = (address: bigint): boolean => {
    maps ??= process.maps();
    return maps.some(({start, end, writable}) => writable && start <= address && address < end);
  };
  const rankOf = (task: OwnerThread | null): number | null =>
    task === null ? null : disturbance(task, {canWrite, gathers});
  for (const tid of process.tasks()) {
    const found = readTask(process, tid);
    const rank = rankOf(found);
    if (found === null) continue;
    if (rank === null) {
      if (found.status.state === 'S' && found.syscall?.kind === 'syscall') running.avoid(tid);
      continue;
    }
    const task = {
      ...found,
      mayStillBe: () => rankOf(readTask(process, tid)) !== null,
      mayStopNow: () => {
        const syscall = unlessGone(() => process.syscall(tid));
        if (syscall?.kind !== 'syscall') return running.mayStop(tid);
        const may = rankOf({...found, syscall}) !== null;
        // a stop ends no wait that is uninterruptible
        if (!may && unlessGone(() => process.status(tid))?.state === 'S') running.avoid(tid);
        return may;
      },
    };
    if (rank === DISTURBANCE.restarts) yield task;
    else others.push({task, rank});
  }
  for (const {task} of others.sort((a, b) => a.rank - b.rank)) yield task;
}

/** null when the thread is gone. */
export const readTask = (process: Process, tid: number): OwnerThread | null =>
  unlessGone(() => ({
    tid,
    comm: process.comm(tid),
    status: process.status(tid),
    syscall: process.syscall(tid),
  }));

const unlessGone = <T>(read: () => T): T | null => {
  try {
    return read();
  } catch (error) {
    if (error instanceof SyscallError && (error.code === 'ENOENT' || error.code === 'ESRCH')) return null;
    throw error;
  }
};

export const hasShadowStack = ({threadFeatures}: ProcessStatus): boolean =>
  threadFeatures?.includes('shstk') ?? false;

/** Mode of a thread that may only read, write, exit and rt_sigreturn. kvfio suspends only filters, which is another mode. */
export const SECCOMP_MODE_STRICT = 1;

const STOPPABLE: ReadonlySet<string> = new Set(['R', 'S', 'I']);

/** `CPU 0/KVM` (QEMU), `vcpu0`, `fc_vcpu 0`, `crosvm_vcpu0`, `kvm-vcpu-0`. */
const NAMED_AS_VCPU = /^CPU \d+\/|vcpu/i;
