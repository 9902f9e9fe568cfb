import type {Process} from '../../linux/proc/process.js';
import type {ProcessMapping} from '../../linux/proc/maps.js';
import type {ProcessStatus} from '../../linux/proc/status.js';
import {SYSCALLS_X64} from '../../linux/syscalls.js';
import type {TaskSyscall} from '../../linux/proc/syscall.js';
import {KVM_RUN} from './interrupted-call.js';
import type {RunningThreads} from './running-threads.js';
import {afterStop, type CallSurroundings} from './waiting-calls.js';
import {SyscallError} from '../../linux/errno.js';

/** What is known of a thread before it is stopped. */
export interface OwnerThread {
  tid: number;
  comm: string;
  status: ProcessStatus;
  syscall: TaskSyscall | null;
}

/**
 * How much it matters to a thread that it is stopped; the least first. null when it may not be: it is a vCPU's in KVM_RUN,
 * dying, stopped, traced, not interruptible, has what a signal frame cannot restore, or waits in a call that would end early
 * or of which is not known what a stop does to it.
 *
 * The kernel itself restarts the calls of the first two ranks, also if kvfio is killed as it stops the thread. Those of the third
 * fail with EINTR then, as after a signal.
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
    if (NAMED_AS_VCPU.test(comm)) return 4;
    return after === null ? 1 : after === 'restarts' ? 0 : 2;
  }
  // it may have begun a call when the stop comes
  return NAMED_AS_VCPU.test(comm) ? 4 : 3;
};

/** A thread that may be stopped. */
export interface Candidate extends OwnerThread {
  /** Whether it still may be. It goes on to something else at any time. */
  mayStillBe: () => boolean;
  /** The same for what it does alone, which changes most often and is read most quickly. It waits, or has run for a while. */
  mayStopNow: () => boolean;
}

export interface CandidatesOptions {
  /** Whether a read of a descriptor of the process waits for more than one byte. */
  gathers: (fd: number) => boolean;
  /** What is known of those that run. */
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
        if (!may) running.avoid(tid);
        return may;
      },
    };
    if (rank === 0) yield task;
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

/** Only read, write, exit and rt_sigreturn are allowed, and nothing suspends that without filters. */
export const SECCOMP_MODE_STRICT = 1;

const STOPPABLE: ReadonlySet<string> = new Set(['R', 'S', 'I']);

/** `CPU 0/KVM` (QEMU), `vcpu0`, `fc_vcpu 0`, `crosvm_vcpu0`, `kvm-vcpu-0`. */
const NAMED_AS_VCPU = /^CPU \d+\/|vcpu/i;
