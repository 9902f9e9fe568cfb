import {Failure, type FailureKind} from '../../failure.js';
import type {SyscallError} from '../../linux/errno.js';
import {STOP, UNSTOPPABLE_CALL, type AnswerUnread, type NoAnswer} from './thread-errors.js';

/** Begins every sentence about an owner: `The VM's owner, process 4711 (qemu-system-x86),`. */
export interface Subject {
  pid: number;
  comm: string;
}

export type Reason = [code: string, kind: FailureKind, why: string, hint: string];

const AGENT = 'or have the VM served by a VMM that speaks the agent protocol (--via agent)';

const lowerFirst = (sentence: string): string => `${sentence.charAt(0).toLowerCase()}${sentence.slice(1)}`;

/** Why an owner is not made to execute anything. Nothing has been changed then. */
export const refusal = {
  /** kvfio runs on another architecture. */
  architecture: (arch: string): Reason => [
    'INJECT_ARCHITECTURE',
    'refused',
    `Making another process execute a system call is implemented for x86-64, and this is ${arch}.`,
    `Use a VM of kvfio's own, ${AGENT}.`,
  ],
  itself: (): Reason => [
    'INJECT_SELF',
    'refused',
    'That is kvfio itself, and a process cannot trace itself.',
    'Use --via direct.',
  ],
  gone: (): Reason => [
    'OWNER_GONE',
    'notFound',
    'The process has ended, or executes another program now.',
    'Start the VM and try again.',
  ],
  zombie: (): Reason => [
    'OWNER_DEAD',
    'refused',
    'It is a zombie: its first thread has ended, and with that its descriptors are out of reach.',
    'Start the VM anew.',
  ],
  stopped: (): Reason => [
    'OWNER_STOPPED',
    'refused',
    'It is stopped (state T), by SIGSTOP or a terminal, and whoever did that may be looking at it.',
    'Continue it with "kill -CONT" and try again.',
  ],
  traced: (tracer: string): Reason => [
    'OWNER_TRACED',
    'refused',
    `It is traced already, by ${tracer}, and a thread has one tracer at a time.`,
    'End that debugger or tracer and try again.',
  ],
  otherProc: (): Reason => [
    'OTHER_PID_NAMESPACE',
    'refused',
    'The /proc that is mounted here belongs to another PID namespace than kvfio, so its process numbers mean other processes.',
    "Run kvfio in the PID namespace of this /proc, or mount the namespace's own.",
  ],
  bits32: (): Reason => [
    'OWNER_32BIT',
    'refused',
    'It executes 32-bit code, whose registers and signal frames are different ones.',
    `Use a 64-bit VMM, ${AGENT}.`,
  ],
  kernelThread: (): Reason => [
    'OWNER_KERNEL_THREAD',
    'refused',
    'It is a kernel thread, which has no code or memory of its own.',
    'Name the process that created the VM.',
  ],
  shadowStacks: (): Reason => [
    'OWNER_SHADOW_STACK',
    'refused',
    'Its threads have shadow stacks (x86_Thread_features: shstk), with which they cannot return from a call that they did not make.',
    `Start the VMM with GLIBC_TUNABLES=glibc.cpu.x86_shstk=off, ${AGENT}.`,
  ],
  seccompStrict: (): Reason => [
    'OWNER_SECCOMP_STRICT',
    'refused',
    'Its threads are in seccomp strict mode, in which any call but read, write and exit kills it.',
    'Have the VM served by a VMM that speaks the agent protocol (--via agent).',
  ],
  seccompNotSuspended: (errno: string): Reason => [
    'OWNER_SECCOMP',
    'refused',
    `Its threads have seccomp filters, which may kill it for a call that is not its own, and this kernel does not let kvfio suspend them (${errno}).`,
    `Run kvfio with CAP_SYS_ADMIN, outside of a sandbox, on a kernel with CONFIG_CHECKPOINT_RESTORE, ${AGENT}.`,
  ],
  sigreturnFiltered: (): Reason => [
    'OWNER_SECCOMP_SIGRETURN',
    'refused',
    'Its seccomp filters forbid rt_sigreturn, so it would be killed if kvfio ended before its work was done.',
    'Have the VM served by a VMM that speaks the agent protocol (--via agent).',
  ],
  callFiltered: (): Reason => [
    'OWNER_SECCOMP_CALL',
    'refused',
    'Its seccomp filters would kill it for a call that kvfio injects: kvfio suspends them for that, but they would be in force if kvfio were killed within these few microseconds.',
    `Take that risk with --suspend-seccomp, ${AGENT}.`,
  ],
  userDispatch: (): Reason => [
    'OWNER_USER_DISPATCH',
    'refused',
    'Its threads use syscall user dispatch (prctl(2)), which turns a call from code that they have not named into SIGSYS.',
    'Have the VM served by a VMM that speaks the agent protocol (--via agent).',
  ],
  onlyVcpus: (): Reason => [
    'OWNER_ONLY_VCPUS',
    'refused',
    'All its threads that could be stopped are running vCPUs (KVM_RUN).',
    `Try again while the VM is paused, ${AGENT}.`,
  ],
  noThread: (reasons: string): Reason => [
    'OWNER_NO_THREAD',
    'refused',
    `None of its threads can be stopped and continued without a trace: ${reasons}.`,
    `Try again, ${AGENT}.`,
  ],
  /** @param cause - a sentence */
  noMemory: (cause: string): Reason => [
    'OWNER_NO_THREAD',
    'refused',
    `A thread of it needs 128 KiB of unused memory for a signal frame, and there is none: ${lowerFirst(cause)}`,
    `Start the VMM anew, with a usual stack and stack limit, ${AGENT}.`,
  ],
  ownStackLimit: (): Reason => [
    'KVFIO_STACK_LIMIT',
    'refused',
    "A thread of it needs 128 KiB for a signal frame, below where its stack may grow to. The kernel adds that only as far as kvfio's own limit for stacks goes, and kvfio may not raise its limit (ulimit -Hs) so far.",
    `Run kvfio as root with CAP_SYS_RESOURCE, or with a hard limit that is 1 MiB above the owner's (LimitSTACK= of systemd, limits.conf), ${AGENT}.`,
  ],
  addressSpaceLimit: (): Reason => [
    'OWNER_ADDRESS_SPACE_LIMIT',
    'refused',
    'Its address space is limited (RLIMIT_AS), and memory for a signal frame would take some of that for good.',
    `Start the VMM without that limit (ulimit -v unlimited), ${AGENT}.`,
  ],
  lockedMemoryLimit: (): Reason => [
    'OWNER_LOCKED_MEMORY_LIMIT',
    'refused',
    'Its stack is locked in memory (mlockall), what it may lock is limited (RLIMIT_MEMLOCK), and memory for a signal frame would take some of that for good.',
    `Start the VMM without that limit (ulimit -l unlimited), ${AGENT}.`,
  ],
  noCode: (): Reason => [
    'OWNER_NO_CODE',
    'refused',
    'Its code has no "syscall; ret" or no rt_sigreturn stub, as C libraries have for signal handlers to return to.',
    'Have the VM served by a VMM that speaks the agent protocol (--via agent).',
  ],
  noAnswer: (during: string, seconds: number): Reason => [
    'OWNER_NO_ANSWER',
    'timeout',
    `Its thread did not get through ${during} within ${seconds} s; kvfio releases it when it ends, and the thread finishes that by itself.`,
    'Look at what it waits for in /proc/PID/task/*/stack, and try again.',
  ],
  answerUnread: (during: string, errno: string): Reason => [
    'OWNER_ANSWER_UNREAD',
    'kernelRefused',
    `Its thread made ${during}, and kvfio could not read the answer (${errno}).`,
    'Look at what the VM has with "kvfio status", and try again.',
  ],
} satisfies Record<string, (...args: never[]) => Reason>;

/** The failure that a {@link Reason} makes for an owner. */
export const refuseOwner = (
  subject: Subject,
  [code, kind, why, hint]: Reason,
  cause?: unknown,
  what = 'was not made to execute anything',
): Failure => new Failure({code, kind, what: `${ownerInWords(subject)} ${what}.`, why, hint, cause});

const ownerInWords = ({pid, comm}: Subject): string =>
  `The VM's owner, process ${pid}${comm === '' ? '' : ` (${comm})`},`;

/** A thread that does not stop has executed nothing; from a call it may come back when kvfio has ended. */
export const unanswered = (subject: Subject, error: NoAnswer, seconds: number): Failure => {
  const reason = refusal.noAnswer(error.during, seconds);
  return [STOP, UNSTOPPABLE_CALL].includes(error.during)
    ? refuseOwner(subject, reason, error)
    : refuseOwner(subject, reason, error, `has not come back from ${error.during}`);
};

export const unread = (subject: Subject, error: AnswerUnread): Failure =>
  refuseOwner(
    subject,
    refusal.answerUnread(error.during, (error.cause as SyscallError).code),
    error,
    'may have been changed',
  );
