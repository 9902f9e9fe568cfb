import type {Process} from '../../linux/process.js';
import type {ProcessStatus} from '../../linux/process-status.js';
import {SYSCALLS_X64} from '../../linux/syscalls.js';
import type {TaskSyscall} from '../../linux/task-syscall.js';
import {FAILS_WHEN_STOPPED, KVM_RUN} from './interrupted-call.js';
import {SyscallError} from '../../linux/errno.js';

/** What is known of a thread before it is stopped. */
export interface Task {
  tid: number;
  comm: string;
  status: ProcessStatus;
  syscall: TaskSyscall | null;
}

/**
 * How much it matters to a thread that it is stopped; the least first. null when it may not be:
 * it is a vCPU's in KVM_RUN, dying, stopped, traced, not interruptible, or has what a signal frame cannot restore.
 */
export const disturbance = ({comm, status, syscall}: Task): number | null => {
  if (!STOPPABLE.has(status.state ?? '')) return null;
  if (status.tracerPid !== 0 || hasShadowStack(status) || status.seccomp === SECCOMP_MODE_STRICT) return null;
  if (syscall?.kind === 'syscall') {
    if (syscall.number === SYSCALLS_X64.ioctl && syscall.args[1] === BigInt(KVM_RUN)) return null;
    if (NAMED_AS_VCPU.test(comm)) return 5;
    if (RESTARTED.has(syscall.number)) return 0;
    if (FAILS_WHEN_STOPPED.has(syscall.number)) return 1;
    return syscall.number === SYSCALLS_X64.restart_syscall ? 2 : 4;
  }
  return NAMED_AS_VCPU.test(comm) ? 5 : 3;
};

/** The threads of a process that may be stopped, as the first one is needed, and then the next. */
export function* candidates(process: Process): Generator<Task, void> {
  const others: {task: Task; rank: number}[] = [];
  for (const tid of process.tasks()) {
    const task = readTask(process, tid);
    const rank = task === null ? null : disturbance(task);
    if (task === null || rank === null) continue;
    if (rank === 0) yield task;
    else others.push({task, rank});
  }
  for (const {task} of others.sort((a, b) => a.rank - b.rank)) yield task;
}

/** null when the thread is gone. */
export const readTask = (process: Process, tid: number): Task | null => {
  try {
    return {tid, comm: process.comm(tid), status: process.status(tid), syscall: process.syscall(tid)};
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

/** Calls that the kernel makes again by itself after a stop, which the thread does not notice. */
const RESTARTED: ReadonlySet<number> = new Set([
  SYSCALLS_X64.poll,
  SYSCALLS_X64.ppoll,
  SYSCALLS_X64.select,
  SYSCALLS_X64.pselect6,
  SYSCALLS_X64.nanosleep,
  SYSCALLS_X64.clock_nanosleep,
  SYSCALLS_X64.futex,
  SYSCALLS_X64.wait4,
  SYSCALLS_X64.rt_sigsuspend,
  SYSCALLS_X64.pause,
]);
