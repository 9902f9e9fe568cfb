import type {Place, ProcessMemory} from '../../linux/memory.js';
import {
  PTRACE_O_SUSPEND_SECCOMP,
  PTRACE_O_TRACESYSGOOD,
  Tracee,
  type PtraceObserver,
} from '../../linux/trace/ptrace.js';
import type {Registers} from '../../linux/trace/registers.js';
import {IOCTLS} from '../../linux/ioctl.js';
import {pause} from '../../linux/pause.js';
import {AUDIT_ARCH_X86_64, seccompVerdict, type SeccompVerdict} from '../../linux/trace/seccomp.js';
import {SYSCALLS_X64, type SyscallName} from '../../linux/syscalls.js';
import type {CodeSite, CodeSites} from './code-sites.js';
import {AF_UNIX, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK} from './hand-over.js';
import {mayBeOnAlternateStack} from './alternate-stack.js';
import {quiesceV8} from './quiesce-v8.js';
import {SIZE_OF_CODE, callToMake, isKvmRun, madeAgain, wantsRestart} from './interrupted-call.js';
import {inRestartableSequence} from './restartable-sequence.js';
import {MOST_XSAVE, SignalFrame, XSAVE_AT} from './signal-frame.js';
import {
  WHOEVER,
  enterSpare,
  leaveSpare,
  markOf,
  mayUse,
  standsAbove,
  type SpareMemory,
} from './spare-memory.js';
import {StoppedThread, type Grip} from './stopped-thread.js';
import {NoAnswer, STOP, ThreadGone, UNSTOPPABLE_CALL, whileThere} from './thread-errors.js';
import {usesUserDispatch} from './user-dispatch.js';

/** What is known before a thread is stopped. */
export interface Preparation {
  pid: number;
  /** Number of a thread of that process. */
  tid: number;
  /** Memory of that process, which this kvfio alone has locked. */
  memory: ProcessMemory;
  sites: CodeSites;
  spare: SpareMemory;
  /** The thread has seccomp filters. */
  filtered: boolean;
  /** Make also calls that its filters would harm it for, which then must not come into force in between. */
  suspendSeccomp: boolean;
  /** Milliseconds that the thread has for stopping, and for each call. */
  patience: number;
  observe: PtraceObserver;
  /** Whether the thread still is one that may be stopped. Asked as late as can be. */
  mayStillBe: () => boolean;
  /** Whether a stop now would end no call early. Asked right before it, and does not look at who traces the thread. */
  mayStopNow: () => boolean;
  /** Whether the thread is one of the owner. Asked when its number cannot pass to another thread any more. */
  isOwners: () => boolean;
}

/** Why a thread could not be used. It goes on as if nothing had been. */
export type Unsuitable =
  /** It has begun something else since it was found. */
  | 'has-gone-on'
  /** Its number has passed to another process. */
  | 'not-the-owners'
  /** It runs a vCPU. */
  | 'kvm-run'
  /** It is in a stretch of code that must not be interrupted, for now. */
  | 'restartable-sequence'
  /** It makes no system call, for now, and is not the first thread on its own stack. */
  | 'no-call'
  /** The whole process is being stopped. */
  | 'group-stop'
  /** It has the kernel send it SIGSYS in place of system calls. */
  | 'user-dispatch'
  /** It waits in a call that could not be continued if kvfio died. */
  | 'unknown-call'
  /** There is no memory for the signal frame that certainly nobody uses. */
  | 'no-stack'
  /** It executes 32-bit code. */
  | 'compat-mode'
  /** The code, or the spare memory, that was found before is not there any more. */
  | 'other-code'
  /** Its seccomp filters forbid rt_sigreturn. */
  | 'sigreturn-filtered'
  /** Its filters would harm it for a call that it is to make, if kvfio died just before. */
  | 'call-filtered';

/**
 * Stops a thread, and has it ready to make calls. Whatever goes wrong, it is let go as it was.
 *
 * A thread is taken at the entry of the next call that it makes by itself, where it has begun nothing, and where no signal
 * comes between two requests of kvfio's. One that waits in a call makes that again when it is interrupted.
 *
 * @throws {@link SyscallError} from PTRACE_SEIZE; {@link NoAnswer}; {@link ThreadGone}
 */
export const stopThread = (preparation: Preparation): StoppedThread | Unsuitable => {
  const {tid, memory, sites, spare, filtered, suspendSeccomp, patience, observe} = preparation;
  const thread = new Tracee(tid, Tracee.scratch(), observe);
  const grip: Grip = {thread, memory, frame: new SignalFrame(), sites, patience};
  const hold: Hold = {
    ...{grip, spare, isFirst: tid === preparation.pid},
    filtered: filtered ? calls(suspendSeccomp) : null,
  };
  quiesceV8();
  // the first call takes much longer, and the thread may have to wait for the next
  if (hold.isFirst) mayBeOnAlternateStack(memory, spare.endOfStack - REHEARSED, spare.endOfStack);
  // a thread that is seized is left without a stop only when kvfio ends
  if (!preparation.mayStillBe()) return 'has-gone-on';
  thread.seize(PTRACE_O_TRACESYSGOOD | (filtered ? PTRACE_O_SUSPEND_SECCOMP : 0));
  // all that need not be done while the thread waits comes before
  const belongs = preparation.isOwners();
  return whileThere(() => {
    untilInterrupted(thread, preparation.mayStopNow, performance.now() + patience);
    return detachingOnError(thread, () => {
      const outcome = belongs ? takeHold(hold) : letBe(thread);
      if (!(outcome instanceof StoppedThread)) thread.detach();
      return outcome;
    });
  });
};

/** Bytes that every stack has: arguments and environment are there. */
const REHEARSED = 4096n;

/** A seized thread, and what else arming it takes: spare memory for its frame, and its seccomp filters. */
interface Hold {
  grip: Grip;
  spare: SpareMemory;
  /** It is the process's first thread. */
  isFirst: boolean;
  filtered: FilteredCalls | null;
}

/**
 * Stops a thread as soon as a stop ends no call of it early: it has gone on since it was chosen, and goes on at any time.
 *
 * @throws {@link NoAnswer} when it does not stop, or waits in such a call. It is not stopped then, and free once kvfio ends.
 */
const untilInterrupted = (thread: Tracee, mayStopNow: () => boolean, deadline: number): void => {
  for (let isAsked = false; ;) {
    if (!isAsked && mayStopNow()) {
      thread.interrupt();
      isAsked = true;
    }
    const stop = thread.waitUntil(isAsked ? deadline : 0);
    if (stop === null) {
      if (performance.now() > deadline) throw new NoAnswer(isAsked ? STOP : UNSTOPPABLE_CALL);
      pause(NAP);
      continue;
    }
    if (stop.kind === 'gone') throw new ThreadGone();
    if (stop.kind === 'interrupted' || stop.kind === 'group-stop') return;
    if (isAsked) thread.interrupt(); // any stop cancels an interrupt that was on its way
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

/** Prepares an interrupted thread to make its call again, once it is let run. */
const goOn = (thread: Tracee, registers: Registers): Registers => {
  const again = madeAgain(registers);
  if (again !== registers) thread.setRegisters(again);
  return again;
};

const letBe = (thread: Tracee): 'not-the-owners' => {
  goOn(thread, thread.registers());
  return 'not-the-owners';
};

const takeHold = (hold: Hold): StoppedThread | Unsuitable => {
  const {thread, patience} = hold.grip;
  const stopped = thread.registers();
  if (stopped.get('cs') !== USER_CS) return 'compat-mode';
  const again = goOn(thread, stopped);
  if (isKvmRun(stopped)) return 'kvm-run';
  if (usesUserDispatch(thread)) return 'user-dispatch';
  const reason = reasonAgainst(hold, stopped);
  if (reason !== null) return reason;
  const isKnown = wantsRestart(again.getSigned('rax'));
  // it may have to be turned down at the entry of a call that is not known yet
  if (!isKnown && !mayPassOverCall(hold, stopped, AUDIT_ARCH_X86_64)) return armAnywhere(hold);
  const reached = toNextCall(thread, patience, isKnown ? patience : OWN_CALL);
  if (reached === 'call') return armAtEntry(hold, stopped);
  return reached === 'interrupted' ? armAnywhere(hold) : reached;
};

/** Lets a thread run until it is about to make a call, which one that was interrupted in a call is at once. */
const toNextCall = (
  thread: Tracee,
  patience: number,
  time: number,
): 'call' | 'interrupted' | 'group-stop' => {
  let deadline = performance.now() + time;
  thread.continueToSyscall();
  for (let isInterrupted = false; ;) {
    const stop = thread.waitUntil(deadline, NAP);
    if (stop === null) {
      if (isInterrupted) throw new NoAnswer(STOP);
      isInterrupted = true;
      deadline = performance.now() + patience;
      thread.interrupt();
    } else {
      if (stop.kind === 'gone') throw new ThreadGone();
      if (stop.kind === 'syscall') {
        if (thread.enteredCall() !== null) return 'call';
      } else if (stop.kind === 'group-stop') return 'group-stop';
      else if (stop.kind === 'interrupted' && isInterrupted) return 'interrupted';
      // any stop cancels an interrupt that was on its way
      if (isInterrupted) thread.interrupt();
      thread.continueToSyscall(stop.kind === 'signal' ? stop.signal : 0);
    }
  }
};

/** Milliseconds: the thread may stop at any time, and stands still until that is seen. */
const NAP = 0.05;

/** Milliseconds in which a thread that does anything for a VM makes a call by itself. It runs meanwhile. */
const OWN_CALL = 30;

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
  const filters = filtersOf(thread);
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

/** Whether the filters, which are in force again once the thread is let go, let it make {@link NO_CALL}. */
const mayPassOverCall = ({grip, filtered}: Hold, registers: Registers, arch: number): boolean =>
  filtered === null ||
  seccompVerdict(filtersOf(grip.thread), {
    ...{number: Number(NO_CALL), arch, instructionPointer: registers.get('rip')},
    args: (['rdi', 'rsi', 'rdx', 'r10', 'r8', 'r9'] as const).map((name) => registers.get(name)),
  }) === 'runs';

const filtersOf = (thread: Tracee): Buffer[] => {
  const filters: Buffer[] = [];
  for (let filter; (filter = thread.seccompFilter(filters.length)) !== null;) filters.push(filter);
  return filters;
};

/** Makes the call that a thread is about to make rt_sigreturn, from a signal frame that has it make its own call. */
const armAtEntry = (hold: Hold, stopped: Registers): StoppedThread | Unsuitable => {
  const {thread, memory, frame, sites} = hold.grip;
  const registers = thread.registers();
  const number = registers.getSigned('orig_rax');
  const again = (call: number): Registers =>
    registers.with({rip: registers.get('rip') - SYSCALL_INSTRUCTION, rax: BigInt(call)});
  const arch = thread.enteredCall();
  const reason = isKvmRun(registers)
    ? 'kvm-run'
    : arch === AUDIT_ARCH_X86_64
      ? reasonAgainst(hold, registers)
      : 'compat-mode';
  if (reason !== null) {
    // makes no call, and then its own: to be let go looks like a signal to a call
    const passing = again(number).with({orig_rax: NO_CALL});
    if (arch !== null && mayPassOverCall(hold, passing, arch)) thread.setRegisters(passing);
    return reason;
  }
  const call = callToMake(stopped, registers, () =>
    memory.read(registers.get('rip') - BigInt(SIZE_OF_CODE), SIZE_OF_CODE),
  );
  if (call === null) return 'unknown-call';
  const signalMask = writeFrame(hold, again(call), thread.tid);
  thread.setRegisters(
    registers.with({
      orig_rax: BigInt(SYSCALLS_X64.rt_sigreturn),
      rip: sites.sigreturn.address + BigInt(sites.sigreturn.bytes.length),
      rsp: frame.stackForSigreturn,
    }),
  );
  thread.setSignalMask(ALL_SIGNALS);
  const continues = number === SYSCALLS_X64.restart_syscall;
  return new StoppedThread(hold.grip, {
    ...{registers, signalMask, atEntry: true, continues},
    left: () => {
      leaveSpare(memory, hold.spare);
    },
  });
};

/**
 * Makes a thread that is in no call execute rt_sigreturn next. If kvfio dies before its signals are blocked, a handler may run
 * first: on the thread's alternate stack, which must not be the one that it is on, or below the signal frame.
 */
const armAnywhere = (hold: Hold): StoppedThread | Unsuitable => {
  const {thread, memory, frame, sites} = hold.grip;
  const registers = thread.registers();
  const rsp = registers.get('rsp');
  goOn(thread, registers);
  if (registers.getSigned('orig_rax') >= 0 || !standsAbove(hold.spare, hold.isFirst, rsp)) return 'no-call';
  if (registers.get('cs') !== USER_CS) return 'compat-mode';
  if (mayBeOnAlternateStack(memory, rsp, hold.spare.endOfStack)) return 'no-call';
  if (inRestartableSequence(thread, memory, registers)) return 'restartable-sequence';
  const signalMask = writeFrame(hold, registers, WHOEVER);
  thread.setRegisters(registers.with({rip: sites.sigreturn.address, rsp: frame.stackForSigreturn}));
  thread.setSignalMask(ALL_SIGNALS);
  return new StoppedThread(hold.grip, {
    ...{registers, signalMask, atEntry: false, continues: false},
    left: () => {
      leaveSpare(memory, hold.spare);
    },
  });
};

/** @returns the thread's own signal mask */
const writeFrame = ({grip, spare}: Hold, registers: Registers, user: number): bigint => {
  const {thread, memory, frame, sites} = grip;
  const signalMask = thread.signalMask();
  const size = thread.extendedState(frame.memory, XSAVE_AT, MOST_XSAVE);
  frame.fill(registers, signalMask, size, sites.sigreturn.address, markOf(spare).address);
  enterSpare(memory, spare, user);
  memory.write(frame.stackForCalls, frame.bytes);
  return signalMask;
};

const reasonAgainst = (hold: Hold, registers: Registers): Unsuitable | null => {
  const {grip, spare, isFirst, filtered} = hold;
  if (!mayUse(spare, isFirst, registers.get('rsp'))) return 'no-stack';
  if (!isAllThere(hold)) return 'other-code';
  return filtered === null ? null : reasonOfFilters(grip, filtered);
};

/** Whether the process still has the code, and the mark of the spare memory, all of which is read at once. */
const isAllThere = ({grip: {memory, sites}, spare}: Hold): boolean => {
  const places = [sites.sigreturn, sites.syscall, markOf(spare)] as const;
  const placeOf = ({address, bytes}: (typeof places)[number]): Place => ({address, size: bytes.length});
  const found = memory.usable([placeOf(places[0]), placeOf(places[1]), placeOf(places[2])]);
  if (found.equals(Buffer.concat(places.map(({bytes}) => bytes)))) return true;
  // code may be there that the thread executes and cannot read
  return places.every((place) => memory.holds(place));
};

/** `0f 05` */
const SYSCALL_INSTRUCTION = 2n;

/** The kernel passes over such a call (do_syscall_64 in arch/x86/entry). */
const NO_CALL = -1n;

const ALL_SIGNALS = (1n << 64n) - 1n;

/** Selector of 64-bit user code (__USER_CS). */
const USER_CS = 0x33n;
