import {SyscallError} from '../../linux/errno.js';
import type {ProcessMemory} from '../../linux/memory.js';
import type {Tracee} from '../../linux/trace/ptrace.js';
import type {Registers} from '../../linux/trace/registers.js';
import {SYSCALLS_X64, type SyscallName} from '../../linux/syscalls.js';
import type {CodeSites} from './code-sites.js';
import {wantsRestart} from './interrupted-call.js';
import type {SignalFrame} from './signal-frame.js';
import {AnswerUnread, NoAnswer, ThreadGone, whileThere} from './thread-errors.js';

/** A system call that the owner is to make. */
export interface OwnerCall {
  name: SyscallName;
  /** Names the call in an error, such as `ioctl(KVM_CREATE_DEVICE)`. */
  label?: string;
  /** @param data - address at which the owner finds {@link data} */
  args: (data: bigint) => readonly (number | bigint)[];
  /** Bytes that the call reads and writes, at most {@link SignalFrame} ROOM. */
  data?: (address: bigint) => Buffer;
}

/** What kvfio needs to work on a stopped thread: its tracer, its memory, the signal frame, and the code that it executes. */
export interface Grip {
  thread: Tracee;
  memory: ProcessMemory;
  frame: SignalFrame;
  sites: CodeSites;
  /** Milliseconds that the thread has for each call. */
  patience: number;
}

/** The state in which the thread was stopped, and to which it returns. */
export interface Original {
  registers: Registers;
  signalMask: bigint;
  /** Whether it was at the entry of a call, and not somewhere in its own code. */
  atEntry: boolean;
  /** Whether that call is restart_syscall, which continues a call that rt_sigreturn would begin anew. */
  continues: boolean;
  /** Says that the thread does not need its signal frame any more. */
  left: () => void;
}

/**
 * A thread of the owner that is stopped, and made to execute system calls.
 *
 * From the first register that is changed to the last that is put back, the thread is about to execute rt_sigreturn from
 * a signal frame with its complete original state: that is what it does when kvfio dies, whenever that is. A call is
 * made by stopping at the entry of that rt_sigreturn and making it another call, with one request. After that call the
 * thread is about to execute rt_sigreturn again.
 *
 * It is let go when it has executed that, as its signal frame is in memory that the next kvfio uses. To be let go at the entry
 * of its own call would do as well, but looks like a signal to a call (ptrace_signal_wake_up in include/linux/sched/signal.h).
 * Only restart_syscall is put back there, which can bear that. No signal comes between the requests for this: the kernel
 * delivers none before the call.
 *
 * Meanwhile all signals but SIGKILL and SIGSTOP are blocked, and come after the thread is let go.
 */
export class StoppedThread {
  readonly #grip: Grip;
  readonly #original: Original;
  #failure: NoAnswer | ThreadGone | null = null;
  #lastCall = '';
  #state: 'armed' | 'at-sigreturn' | 'after-call' | 'lost';

  /**
   * @param grip - on a thread with all signals blocked that is at the entry of rt_sigreturn if it was found at the entry of a
   *   call, and about to execute that one otherwise
   */
  constructor(grip: Grip, original: Original) {
    this.#grip = grip;
    this.#original = original;
    this.#state = original.atEntry ? 'at-sigreturn' : 'armed';
  }

  /**
   * @returns what the kernel answered, which is not negative
   * @throws {@link SyscallError} with the owner's error number; {@link NoAnswer}; {@link ThreadGone}; {@link AnswerUnread}
   */
  call({name, label = name, args, data}: OwnerCall): number {
    // it runs, or is gone: why matters more than that it cannot be asked any more
    if (this.#failure !== null) throw this.#failure;
    return whileThere(() => {
      const {data: at} = this.#grip.frame;
      if (data !== undefined) this.#grip.memory.write(at, data(at));
      const answer = this.#make(SYSCALLS_X64[name], args(at), label);
      if (answer < 0) throw new SyscallError(label, -answer);
      return answer;
    });
  }

  /**
   * The first `size` bytes of the last call's data, as the call left them.
   *
   * @throws {@link ThreadGone}; {@link AnswerUnread}
   */
  data(size: number): Buffer {
    return this.#reading(() => this.#grip.memory.read(this.#grip.frame.data, size));
  }

  /**
   * Lets the thread go, exactly as it was found. Where the kernel refuses that, the thread restores itself from the signal
   * frame, at the latest when kvfio ends; what it was made to do holds all the same.
   */
  release(): void {
    if (this.#state === 'lost') return;
    try {
      whileThere(() => {
        this.#letGo();
      });
    } catch (error) {
      if (!(error instanceof SyscallError) && !(error instanceof NoAnswer)) throw error;
    }
  }

  #letGo(): void {
    const {thread} = this.#grip;
    const {continues, registers, signalMask, left} = this.#original;
    if (this.#state !== 'at-sigreturn') this.#advance('rt_sigreturn');
    try {
      if (continues) {
        thread.setSignalMask(signalMask);
        thread.setRegisters(registers);
      } else this.#advance('rt_sigreturn');
      left();
    } finally {
      if (this.#failure === null) thread.detach();
    }
  }

  /** Makes a call until it has done something. */
  #make(number: number, args: readonly (number | bigint)[], label: string): number {
    const registers = this.#registersFor(number, args);
    if (this.#state !== 'at-sigreturn') this.#advance(label);
    for (;;) {
      this.#state = 'at-sigreturn';
      this.#grip.thread.setRegisters(registers);
      this.#advance(label);
      this.#state = 'after-call';
      this.#lastCall = label;
      let after = this.#registers();
      let answer = after.getSigned('rax');
      while (wantsRestart(answer)) {
        // where a signal or other work is pending the kernel makes the call again by itself
        this.#advance(label);
        if (this.#registers().getSigned('orig_rax') === SYSCALLS_X64.rt_sigreturn) break;
        this.#advance(label);
        after = this.#registers();
        answer = after.getSigned('rax');
      }
      if (after.get('rsp') !== this.#grip.frame.stackForCalls)
        throw new Error('the owner executed something else');
      if (!wantsRestart(answer)) return answer;
    }
  }

  #registers(): Registers {
    return this.#reading(() => this.#grip.thread.registers());
  }

  /** Reads something of the last call, which was made whether or not that succeeds. */
  #reading<T>(read: () => T): T {
    try {
      return whileThere(read);
    } catch (error) {
      throw error instanceof SyscallError ? new AnswerUnread(this.#lastCall, error) : error;
    }
  }

  /** Registers with which a thread that enters rt_sigreturn enters another call. */
  #registersFor(number: number, args: readonly (number | bigint)[]): Registers {
    const {sites, frame} = this.#grip;
    // behind a syscall instruction, because the kernel makes an interrupted call again by going back to it
    const rip = sites.syscall.address + SYSCALL_INSTRUCTION;
    return this.#original.registers.calling(number, args, rip, frame.stackForCalls);
  }

  /** Lets the thread run to the next entry or exit of a system call. */
  #advance(label: string): void {
    const deadline = performance.now() + this.#grip.patience;
    this.#grip.thread.continueToSyscall();
    for (;;) {
      const stop = this.#grip.thread.waitUntil(deadline);
      if (stop === null) throw this.#lost(label);
      if (stop.kind === 'gone') throw this.#gone();
      if (stop.kind === 'syscall') return;
      // all others are blocked: SIGSTOP, and the stop that it leads to, from which tracing goes on
      this.#grip.thread.continueToSyscall(stop.kind === 'signal' ? stop.signal : 0);
    }
  }

  #lost(label: string): NoAnswer {
    this.#state = 'lost';
    return (this.#failure = new NoAnswer(label));
  }

  #gone(): ThreadGone {
    this.#state = 'lost';
    return (this.#failure = new ThreadGone());
  }
}

const SYSCALL_INSTRUCTION = 2n;
