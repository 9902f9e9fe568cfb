import {SyscallError} from '../errno.js';
import {ptrace, waitpid} from '../libc.js';
import {PinnedMemory} from '../memory.js';
import {pause} from '../pause.js';
import {Registers} from './registers.js';

/** Requests, from include/uapi/linux/ptrace.h and arch/x86/include/uapi/asm/ptrace-abi.h. */
export const PTRACE = {
  PTRACE_CONT: 7,
  PTRACE_GETREGS: 12,
  PTRACE_SETREGS: 13,
  PTRACE_DETACH: 17,
  PTRACE_SYSCALL: 24,
  PTRACE_GETREGSET: 0x4204,
  PTRACE_SEIZE: 0x4206,
  PTRACE_INTERRUPT: 0x4207,
  PTRACE_GETSIGMASK: 0x420a,
  PTRACE_SETSIGMASK: 0x420b,
  PTRACE_SECCOMP_GET_FILTER: 0x420c,
  PTRACE_GET_SYSCALL_INFO: 0x420e,
  PTRACE_GET_RSEQ_CONFIGURATION: 0x420f,
} as const;

/** Linux 6.4 and newer, so not in the headers of all. */
export const PTRACE_SINCE_6_4 = {PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG: 0x4211} as const;

const REQUESTS = {...PTRACE, ...PTRACE_SINCE_6_4};

export type PtraceRequest = keyof typeof REQUESTS;

/** Distinguishes stops at system calls from other SIGTRAPs. */
export const PTRACE_O_TRACESYSGOOD = 1;
/** Seccomp filters do not apply while the tracer lives. EPERM without CAP_SYS_ADMIN, EINVAL without CONFIG_CHECKPOINT_RESTORE. */
export const PTRACE_O_SUSPEND_SECCOMP = 1 << 21;

const PTRACE_EVENT_STOP = 128;
const NT_X86_XSTATE = 0x202;
const SIZEOF_SIGSET = 8;
const SIZEOF_SOCK_FILTER = 8;
const SIZEOF_SYSCALL_INFO = 88;
const PTRACE_SYSCALL_INFO_ENTRY = 1;
const SIZEOF_RSEQ_CONFIGURATION = 24;
const SIZEOF_SUD_CONFIG = 32;
const BPF_MAXINSNS = 4096;
const WNOHANG = 1;
const WALL = 0x40000000;
const SIGTRAP = 5;
const SYSCALL_STOP = SIGTRAP | 0x80;

/** What wait4(2) reported of a traced thread. */
export type Stop =
  /** A stop before or after a system call, after {@link Tracee.continueToSyscall}. */
  | {kind: 'syscall'}
  /** A stop by {@link Tracee.interrupt}. */
  | {kind: 'interrupted'}
  /** A signal is about to be delivered, and is lost unless the thread is continued with it. */
  | {kind: 'signal'; signal: number}
  /** The whole process is stopped, as by SIGSTOP. */
  | {kind: 'group-stop'; signal: number}
  /** The thread has ended. */
  | {kind: 'gone'};

/** Decodes a status of wait4(2) for a thread that was attached to with PTRACE_SEIZE. */
export const parseWaitStatus = (status: number): Stop => {
  if ((status & 0xff) !== 0x7f) return {kind: 'gone'};
  const signal = (status >> 8) & 0xff;
  if (status >> 16 === PTRACE_EVENT_STOP) {
    return signal === SIGTRAP ? {kind: 'interrupted'} : {kind: 'group-stop', signal};
  }
  return signal === SYSCALL_STOP ? {kind: 'syscall'} : {kind: 'signal', signal};
};

/** Receives each request after the kernel has carried it out. */
export type PtraceObserver = (request: PtraceRequest) => void;

/**
 * A thread of another process that kvfio traces. All requests must come from the thread of kvfio that attached.
 *
 * The kernel lets the thread go, and wakes it, when kvfio ends for whatever reason.
 *
 * Every method throws a {@link SyscallError}; ESRCH when the thread is gone or not stopped.
 */
export class Tracee {
  readonly tid: number;
  readonly #observe: PtraceObserver;
  readonly #scratch: PinnedMemory;

  /**
   * @param scratch - prepared before, because the thread may be waiting
   * @param observe - for a record of what was done, and for tests
   */
  constructor(tid: number, scratch = Tracee.scratch(), observe: PtraceObserver = () => undefined) {
    this.tid = tid;
    this.#scratch = scratch;
    this.#observe = observe;
  }

  /** Room for whatever one request moves. */
  static scratch(): PinnedMemory {
    return new PinnedMemory(BPF_MAXINSNS * SIZEOF_SOCK_FILTER);
  }

  /** Attaches without stopping the thread. EPERM when it is traced already or may not be. */
  seize(options: number): void {
    this.#request('PTRACE_SEIZE', 0, options);
  }

  /** Makes the thread stop soon. A system call that it sleeps in is interrupted. */
  interrupt(): void {
    this.#request('PTRACE_INTERRUPT');
  }

  registers(): Registers {
    this.#request('PTRACE_GETREGS', 0, this.#scratch.at);
    return new Registers(this.#scratch.words);
  }

  setRegisters(registers: Registers): void {
    registers.copyTo(this.#scratch.words);
    this.#request('PTRACE_SETREGS', 0, this.#scratch.at);
  }

  /**
   * The blocked signals, signal N at bit N - 1. In a call with a signal mask of its own, such as ppoll, it is the mask
   * that will be in force after the call (ptrace_request in kernel/ptrace.c).
   */
  signalMask(): bigint {
    this.#request('PTRACE_GETSIGMASK', SIZEOF_SIGSET, this.#scratch.at);
    return this.#word(0);
  }

  setSignalMask(mask: bigint): void {
    this.#scratch.words[0] = mask;
    this.#request('PTRACE_SETSIGMASK', SIZEOF_SIGSET, this.#scratch.at);
  }

  /**
   * Reads the floating-point, vector and other extended registers, as XSAVE lays them out in its standard format.
   *
   * @param memory - where to, from `offset` on
   * @returns how many bytes there are
   */
  extendedState(memory: PinnedMemory, offset: number, size: number): number {
    const {words, at} = this.#scratch; // struct iovec
    words[0] = BigInt(memory.at + offset);
    words[1] = BigInt(size);
    this.#request('PTRACE_GETREGSET', NT_X86_XSTATE, at);
    return Number(this.#word(1));
  }

  /**
   * A seccomp filter of the thread as classic BPF, the latest first.
   *
   * @returns null when there are no more
   * @throws {@link SyscallError}; EACCES without CAP_SYS_ADMIN
   */
  seccompFilter(index: number): Buffer | null {
    try {
      const count = this.#request('PTRACE_SECCOMP_GET_FILTER', index, this.#scratch.at);
      return Buffer.from(this.#scratch.bytes.subarray(0, count * SIZEOF_SOCK_FILTER));
    } catch (error) {
      if (error instanceof SyscallError && error.code === 'ENOENT') return null;
      throw error;
    }
  }

  /**
   * The kind of the call that the thread is about to make (AUDIT_ARCH_*), which differs between 64-bit and 32-bit calls of
   * the same code; null when it is not stopped at the entry of one. Linux 5.3 and newer.
   */
  enteredCall(): number | null {
    this.#request('PTRACE_GET_SYSCALL_INFO', SIZEOF_SYSCALL_INFO, this.#scratch.at);
    const {bytes} = this.#scratch; // u8 op, u32 arch at 4
    return bytes[0] === PTRACE_SYSCALL_INFO_ENTRY ? bytes.readUInt32LE(4) : null;
  }

  /** Address of the thread's `struct rseq`; 0n when it has not registered one. Linux 5.13 and newer, else EIO. */
  restartableSequences(): bigint {
    this.#request('PTRACE_GET_RSEQ_CONFIGURATION', SIZEOF_RSEQ_CONFIGURATION, this.#scratch.at);
    return this.#word(0);
  }

  /**
   * Whether the thread has asked for SIGSYS in place of system calls (`struct ptrace_sud_config`, syscall user dispatch).
   * Linux 6.4 and newer, else EIO; EINVAL where the kernel has no such thing.
   */
  dispatchesSyscalls(): boolean {
    this.#request('PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG', SIZEOF_SUD_CONFIG, this.#scratch.at);
    return this.#word(0) !== 0n;
  }

  /** Lets the thread run, and delivers `signal` unless it is 0. */
  continue(signal: number): void {
    this.#request('PTRACE_CONT', 0, signal);
  }

  /** The same, up to where the next system call begins or the current one ends. */
  continueToSyscall(signal = 0): void {
    this.#request('PTRACE_SYSCALL', 0, signal);
  }

  /** Lets the thread run, and go, and delivers `signal` unless it is 0. */
  detach(signal = 0): void {
    this.#request('PTRACE_DETACH', 0, signal);
  }

  /**
   * The thread's next stop, or null when `deadline` (as of performance.now()) passes first.
   *
   * @param nap - the most milliseconds that a stop may go unnoticed
   */
  waitUntil(deadline: number, nap = 1): Stop | null {
    const {bytes, at} = this.#scratch;
    for (let attempt = 0; ; attempt += 1) {
      let found: number;
      try {
        found = waitpid(this.tid, at, WNOHANG | WALL);
      } catch (error) {
        // somebody else's execve took the thread away
        if (error instanceof SyscallError && error.code === 'ECHILD') return {kind: 'gone'};
        throw error;
      }
      if (found !== 0) return parseWaitStatus(bytes.readInt32LE(0));
      if (performance.now() > deadline) return null;
      if (attempt > EAGER_ATTEMPTS) pause(Math.min((attempt - EAGER_ATTEMPTS) / 20, nap));
    }
  }

  #word(index: number): bigint {
    return this.#scratch.words[index] ?? 0n;
  }

  #request(request: PtraceRequest, address = 0, data = 0): number {
    let answer: number;
    try {
      answer = ptrace(REQUESTS[request], this.tid, address, data);
    } catch (error) {
      if (error instanceof SyscallError) throw new SyscallError(`ptrace(${request})`, error.errno);
      throw error;
    }
    this.#observe(request);
    return answer;
  }
}

/** A few µs each, within which a thread that has a CPU stops. One that shares kvfio's gets it when kvfio sleeps. */
const EAGER_ATTEMPTS = 20;
