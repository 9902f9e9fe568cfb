import {ProcessMemory, type Place} from '../../linux/memory.js';
import {
  PTRACE_O_SUSPEND_SECCOMP,
  PTRACE_O_TRACESYSGOOD,
  Tracee,
  type PtraceObserver,
} from '../../linux/ptrace.js';
import type {Registers} from '../../linux/registers.js';
import {IOCTLS} from '../../linux/ioctl.js';
import {AUDIT_ARCH_X86_64, seccompVerdict, type SeccompVerdict} from '../../linux/seccomp.js';
import {SYSCALLS_X64, type SyscallName} from '../../linux/syscalls.js';
import type {CodeSite, CodeSites} from './code-sites.js';
import {AF_UNIX, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK} from './hand-over.js';
import {calmEngine} from './calm-engine.js';
import {SIZE_OF_CODE, goingOn, isKvmRun, type GoingOn} from './interrupted-call.js';
import {inRestartableSequence} from './restartable-sequence.js';
import {MOST_XSAVE, SignalFrame, XSAVE_AT} from './signal-frame.js';
import {StoppedThread, type Grip} from './stopped-thread.js';
import {NoAnswer, ThreadGone, whileThere} from './thread-errors.js';
import {usesUserDispatch} from './user-dispatch.js';

/** What is known before a thread is stopped. */
export interface Preparation {
  pid: number;
  /** Of a thread of that process. */
  tid: number;
  sites: CodeSites;
  /** The thread has seccomp filters. */
  filtered: boolean;
  /** Make also calls that its filters would harm it for, which then must not come into force in between. */
  suspendSeccomp: boolean;
  /** Milliseconds that the thread has for stopping, and for each call. */
  patience: number;
  observe: PtraceObserver;
  /** Whether the thread is one of the owner. Asked when its number cannot pass to another thread any more. */
  isOwners: () => boolean;
}

/** Why a thread could not be used. It goes on as if nothing had been. */
export type Unsuitable =
  /** Its number has passed to another process. */
  | 'not-the-owners'
  /** It runs a vCPU. */
  | 'kvm-run'
  /** It is in a stretch of code that must not be interrupted, for now. */
  | 'restartable-sequence'
  /** It has the kernel send it SIGSYS in place of system calls. */
  | 'user-dispatch'
  /** It waits in a call that could not be continued if kvfio died. */
  | 'unknown-call'
  /** Its stack has no room for the signal frame. */
  | 'no-stack'
  /** It executes 32-bit code. */
  | 'compat-mode'
  /** The code that was found before is not there any more. */
  | 'other-code'
  /** Its seccomp filters forbid rt_sigreturn. */
  | 'sigreturn-filtered'
  /** They would harm it for a call that it is to make, if kvfio died just before. */
  | 'call-filtered';

/**
 * Stops a thread, and has it ready to make calls. Whatever goes wrong, it is let go as it was.
 *
 * @throws {@link SyscallError} from PTRACE_SEIZE; {@link NoAnswer}; {@link ThreadGone}
 */
export const stopThread = ({
  pid,
  tid,
  sites,
  filtered,
  suspendSeccomp,
  patience,
  observe,
  isOwners,
}: Preparation): StoppedThread | Unsuitable => {
  const thread = new Tracee(tid, Tracee.scratch(), observe);
  const memory = new ProcessMemory(pid, tid, sizeOfCode(sites) + SignalFrame.capacity);
  try {
    const grip: Grip = {thread, memory, frame: new SignalFrame(), sites, patience};
    const filteredCalls = filtered ? calls(suspendSeccomp) : null;
    calmEngine();
    thread.seize(PTRACE_O_TRACESYSGOOD | (filtered ? PTRACE_O_SUSPEND_SECCOMP : 0));
    // all that need not be done while the thread waits comes before
    const belongs = isOwners();
    const outcome = whileThere(() => {
      thread.interrupt();
      untilInterrupted(thread, performance.now() + patience);
      return detachingOnError(thread, () => takeHold(grip, belongs, filteredCalls));
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

const takeHold = (
  grip: Grip,
  belongs: boolean,
  filtered: FilteredCalls | null,
): StoppedThread | Unsuitable => {
  const {thread, memory} = grip;
  const registers = thread.registers();
  // the memory is the owner's, which tells nothing of another process
  const on = goingOn(registers, belongs ? codeBefore(registers, memory) : Buffer.alloc(SIZE_OF_CODE));
  const outcome = !belongs
    ? 'not-the-owners'
    : on === null
      ? 'unknown-call'
      : (reasonAgainst(grip, registers, filtered) ?? arm(grip, on));
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
  grip: Grip,
  registers: Registers,
  filtered: FilteredCalls | null,
): Unsuitable | null => {
  const {thread, memory} = grip;
  if (isKvmRun(registers)) return 'kvm-run';
  if (registers.get('cs') !== USER_CS) return 'compat-mode';
  if (usesUserDispatch(thread)) return 'user-dispatch';
  if (inRestartableSequence(thread, memory, registers)) return 'restartable-sequence';
  return filtered === null ? null : reasonOfFilters(grip, filtered);
};

/** Calls that a thread with seccomp filters is to make: their names and the arguments that filters look at. */
type FilteredCalls = readonly [name: SyscallName, ...args: number[]][];

/** All that injected-owner.ts and hand-over.ts have an owner do; none when the filters are not to matter. */
const calls = (suspendSeccomp: boolean): FilteredCalls =>
  suspendSeccomp
    ? []
    : [
        ['ioctl', 0, IOCTLS.KVM_CREATE_DEVICE],
        ['ioctl', 0, IOCTLS.KVM_SET_DEVICE_ATTR],
        ['socket', AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK],
        ['recvmsg', 0],
        ['close', 0],
      ];

/**
 * The filters come into force again when kvfio dies: for rt_sigreturn, by which the thread restores itself, and for a
 * call that it has been made to make and has not entered yet.
 */
const reasonOfFilters = ({thread, sites}: Grip, calls: FilteredCalls): Unsuitable | null => {
  const filters: Buffer[] = [];
  for (let filter; (filter = thread.seccompFilter(filters.length)) !== null;) filters.push(filter);
  const verdict = (name: SyscallName, {address, bytes}: CodeSite, args: number[]): SeccompVerdict =>
    seccompVerdict(filters, {
      number: SYSCALLS_X64[name],
      arch: AUDIT_ARCH_X86_64,
      instructionPointer: address + BigInt(bytes.length),
      args: args.map(BigInt),
    });
  if (verdict('rt_sigreturn', sites.sigreturn, []) !== 'runs') return 'sigreturn-filtered';
  return calls.some(([name, ...args]) => verdict(name, sites.syscall, args) === 'harms')
    ? 'call-filtered'
    : null;
};

/** Writes the signal frame, and has the thread execute rt_sigreturn next. */
const arm = (grip: Grip, {registers, inFrame}: GoingOn): StoppedThread | 'no-stack' | 'other-code' => {
  const {thread, memory, frame, sites} = grip;
  const signalMask = thread.signalMask();
  const size = thread.extendedState(frame.memory, XSAVE_AT, MOST_XSAVE);
  frame.fill(inFrame, signalMask, size, sites.sigreturn.address);
  const {bytes, stackForCalls} = frame;
  const before = stackBelow(grip, {address: stackForCalls, size: bytes.length});
  if (typeof before === 'string') return before;
  const putBack = (): void => {
    memory.write(stackForCalls, before);
  };
  memory.write(stackForCalls, bytes);
  try {
    thread.setRegisters(
      inFrame.with({
        orig_rax: -1n, // the kernel sees no interrupted call here, which it would restart
        rip: sites.sigreturn.address,
        rsp: frame.stackForSigreturn,
      }),
    );
  } catch (error) {
    whileThere(putBack);
    throw error;
  }
  thread.setSignalMask(ALL_SIGNALS);
  return new StoppedThread(grip, {registers, signalMask, putBack});
};

/** What is at `stack`, if the process can use that and still has the code, all of which is read at once. */
const stackBelow = ({memory, sites}: Grip, stack: Place): Buffer | 'no-stack' | 'other-code' => {
  const {sigreturn, syscall} = sites;
  const found = memory.usable([
    {address: sigreturn.address, size: sigreturn.bytes.length},
    {address: syscall.address, size: syscall.bytes.length},
    stack,
  ]);
  const size = sizeOfCode(sites);
  // code may be there that the thread executes and cannot read
  const isReadable = found.length >= size;
  const isThere = isReadable
    ? found.subarray(0, sigreturn.bytes.length).equals(sigreturn.bytes) &&
      found.subarray(sigreturn.bytes.length, size).equals(syscall.bytes)
    : memory.holds(sigreturn) && memory.holds(syscall);
  if (!isThere) return 'other-code';
  const before = isReadable ? found.subarray(size) : memory.usable([stack]);
  return before.length < stack.size ? 'no-stack' : before;
};

const sizeOfCode = ({sigreturn, syscall}: CodeSites): number => sigreturn.bytes.length + syscall.bytes.length;

const ALL_SIGNALS = (1n << 64n) - 1n;

/** Selector of 64-bit user code (__USER_CS). */
const USER_CS = 0x33n;
