import {ProcessMemory} from '../../linux/memory.js';
import {
  PTRACE_O_SUSPEND_SECCOMP,
  PTRACE_O_TRACESYSGOOD,
  Tracee,
  type PtraceObserver,
} from '../../linux/ptrace.js';
import type {Registers} from '../../linux/registers.js';
import {AUDIT_ARCH_X86_64, seccompVerdict} from '../../linux/seccomp.js';
import {SYSCALLS_X64} from '../../linux/syscalls.js';
import type {CodeSites} from './code-sites.js';
import {SIZE_OF_CODE, goingOn, isKvmRun, type GoingOn} from './interrupted-call.js';
import {inRestartableSequence} from './restartable-sequence.js';
import {MOST_XSAVE, SignalFrame, XSAVE_AT} from './signal-frame.js';
import {StoppedThread, type Grip} from './stopped-thread.js';
import {NoAnswer, ThreadGone, whileThere} from './thread-errors.js';

/** What is known before a thread is stopped. */
export interface Preparation {
  tid: number;
  sites: CodeSites;
  /** The thread has seccomp filters. */
  filtered: boolean;
  /** Milliseconds that the thread has for stopping, and for each call. */
  patience: number;
  observe: PtraceObserver;
}

/** Why a thread could not be used. It goes on as if nothing had been. */
export type Unsuitable =
  /** It runs a vCPU. */
  | 'kvm-run'
  /** It is in a stretch of code that must not be interrupted, for now. */
  | 'restartable-sequence'
  /** It waits in a call that could not be continued if kvfio died. */
  | 'unknown-call'
  /** Its stack has no room for the signal frame. */
  | 'no-stack'
  /** It executes 32-bit code. */
  | 'compat-mode'
  /** The code that was found before is not there any more. */
  | 'other-code'
  /** Its seccomp filters forbid rt_sigreturn. */
  | 'sigreturn-filtered';

/**
 * Stops a thread, and has it ready to make calls. Whatever goes wrong, it is let go as it was.
 *
 * @throws {@link SyscallError} from PTRACE_SEIZE; {@link NoAnswer}; {@link ThreadGone}
 */
export const stopThread = ({
  tid,
  sites,
  filtered,
  patience,
  observe,
}: Preparation): StoppedThread | Unsuitable => {
  const thread = new Tracee(tid, Tracee.scratch(), observe);
  const memory = new ProcessMemory(tid, SignalFrame.capacity);
  try {
    const grip: Grip = {thread, memory, frame: new SignalFrame(), sites, patience};
    thread.seize(PTRACE_O_TRACESYSGOOD | (filtered ? PTRACE_O_SUSPEND_SECCOMP : 0));
    const outcome = whileThere(() => {
      thread.interrupt();
      untilInterrupted(thread, performance.now() + patience);
      return detachingOnError(thread, () => takeHold(grip, filtered));
    });
    if (!(outcome instanceof StoppedThread)) memory[Symbol.dispose]();
    return outcome;
  } catch (error) {
    memory[Symbol.dispose]();
    throw error;
  }
};

const untilInterrupted = (thread: Tracee, deadline: number): void => {
  for (;;) {
    const stop = thread.waitUntil(deadline);
    if (stop === null) throw new NoAnswer('the stop');
    if (stop.kind === 'gone') throw new ThreadGone();
    if (stop.kind === 'interrupted' || stop.kind === 'group-stop') return;
    thread.interrupt(); // any stop cancels an interrupt that was on its way
    thread.continue(stop.kind === 'signal' ? stop.signal : 0);
  }
};

/** A thread that is let go is as it was, or about to be restored by its signal frame. */
const detachingOnError = <T>(thread: Tracee, work: () => T): T => {
  try {
    return work();
  } catch (error) {
    whileThere(() => {
      thread.detach();
    });
    throw error;
  }
};

const takeHold = (grip: Grip, filtered: boolean): StoppedThread | Unsuitable => {
  const {thread, memory} = grip;
  const registers = thread.registers();
  const on = goingOn(registers, codeBefore(registers, memory));
  const outcome = on === null ? 'unknown-call' : (reasonAgainst(grip, registers, filtered) ?? arm(grip, on));
  if (outcome instanceof StoppedThread) return outcome;
  if (on !== null && on.registers !== registers) thread.setRegisters(on.registers);
  thread.detach();
  return outcome;
};

/** The code before rip where it tells which call restart_syscall continues; nothing elsewhere. */
const codeBefore = (registers: Registers, memory: ProcessMemory): Buffer =>
  registers.getSigned('orig_rax') === SYSCALLS_X64.restart_syscall
    ? memory.read(registers.get('rip') - BigInt(SIZE_OF_CODE), SIZE_OF_CODE)
    : Buffer.alloc(0);

const reasonAgainst = (
  {thread, memory, sites: {sigreturn, syscall}}: Grip,
  registers: Registers,
  filtered: boolean,
): Unsuitable | null => {
  if (isKvmRun(registers)) return 'kvm-run';
  if (registers.get('cs') !== USER_CS) return 'compat-mode';
  if (!memory.holds(sigreturn) || !memory.holds(syscall)) return 'other-code';
  if (inRestartableSequence(thread, memory, registers)) return 'restartable-sequence';
  const behind = sigreturn.address + BigInt(sigreturn.bytes.length);
  return filtered && !maySigreturn(thread, behind) ? 'sigreturn-filtered' : null;
};

/** Whether the filters, which come into force again when kvfio dies, let the thread restore itself. */
const maySigreturn = (thread: Tracee, instructionPointer: bigint): boolean => {
  const filters: Buffer[] = [];
  for (let filter; (filter = thread.seccompFilter(filters.length)) !== null;) filters.push(filter);
  const call = {number: SYSCALLS_X64.rt_sigreturn, arch: AUDIT_ARCH_X86_64, instructionPointer, args: []};
  return seccompVerdict(filters, call) === 'runs';
};

/** Writes the signal frame, and has the thread execute rt_sigreturn next. */
const arm = (grip: Grip, {registers, inFrame}: GoingOn): StoppedThread | 'no-stack' => {
  const {thread, memory, frame, sites} = grip;
  const signalMask = thread.signalMask();
  const size = thread.extendedState(frame.memory, XSAVE_AT, MOST_XSAVE);
  frame.fill(inFrame, signalMask, size, sites.sigreturn.address);
  const {bytes, stackForCalls} = frame;
  if (!memory.isUsable(stackForCalls, bytes.length)) return 'no-stack';
  memory.write(stackForCalls, bytes);
  thread.setRegisters(
    inFrame.with({
      orig_rax: -1n, // the kernel sees no interrupted call here, which it would restart
      rip: sites.sigreturn.address,
      rsp: frame.stackForSigreturn,
    }),
  );
  thread.setSignalMask(ALL_SIGNALS);
  return new StoppedThread(grip, registers, signalMask);
};

const ALL_SIGNALS = (1n << 64n) - 1n;

/** Selector of 64-bit user code (__USER_CS). */
const USER_CS = 0x33n;
