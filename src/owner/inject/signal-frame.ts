import {PinnedMemory} from '../../linux/memory.js';
import {USER_REGS, type RegisterName, type Registers} from '../../linux/trace/registers.js';

/**
 * A signal frame as the kernel would write it (struct rt_sigframe in arch/x86/include/asm/sigframe.h), with the complete
 * state of a stopped thread. From the frame upwards lies all that a call needs too, so that a signal handler that runs
 * meanwhile pushes below it:
 *
 *     address of the rt_sigreturn stub | struct ucontext | XSAVE area | room for arguments | end
 *
 * It is built in memory that is prepared before the thread is stopped.
 */
export class SignalFrame {
  /** The most bytes that one has. */
  static readonly capacity = 16 * 1024;

  /** Memory in which the frame is built. {@link Tracee.extendedState} puts the thread's extended state into its place. */
  readonly memory = new PinnedMemory(SignalFrame.capacity);
  readonly #halves = new Uint32Array(this.memory.bytes.buffer);
  #stackForCalls = 0n;
  #data = 0n;
  #bytes = this.memory.bytes;

  /** The stack pointer with which the thread makes calls: the address of the stub's address, and of {@link bytes}. */
  get stackForCalls(): bigint {
    return this.#stackForCalls;
  }

  /** The stack pointer with which it executes rt_sigreturn. */
  get stackForSigreturn(): bigint {
    return this.#stackForCalls + BigInt(CONTEXT_AT - STUB_AT);
  }

  /** Address of {@link ROOM} bytes for the arguments of calls. */
  get data(): bigint {
    return this.#data;
  }

  /** What is to be written at {@link stackForCalls}. */
  get bytes(): Buffer {
    return this.#bytes;
  }

  /**
   * @param registers - with which the thread goes on
   * @param signalMask - its blocked signals
   * @param extendedSize - bytes of extended state that were put at {@link XSAVE_AT}
   * @param sigreturn - address of the stub
   * @param end - first address behind it, a multiple of 64
   */
  fill(registers: Registers, signalMask: bigint, extendedSize: number, sigreturn: bigint, end: bigint): void {
    const {bytes, words} = this.memory;
    const dataAt = (XSAVE_AT + this.#finishXsave(extendedSize) + 4 + 63) & ~63;
    const base = end - BigInt(dataAt + ROOM);
    this.#stackForCalls = base + BigInt(STUB_AT);
    this.#data = base + BigInt(dataAt);
    this.#bytes = bytes.subarray(STUB_AT, dataAt + ROOM);

    words[STUB_AT / 8] = sigreturn;
    words[CONTEXT_AT / 8] = UC_FLAGS;
    // uc_stack stays zero: a size below MINSIGSTKSZ is refused, and the thread keeps the alternate stack that it has
    registers.pick(SIGCONTEXT, words, GENERAL_AT / 8);
    // u16 cs, gs, fs, ss
    words[(CONTEXT_AT + 184) / 8] = registers.get('cs') | (registers.get('ss') << 48n);
    words[(CONTEXT_AT + 224) / 8] = base + BigInt(XSAVE_AT);
    words[(CONTEXT_AT + 296) / 8] = signalMask;
  }

  /**
   * Puts in the magic words that make rt_sigreturn restore all of an XSAVE area, and not only its first 512 bytes.
   *
   * @param extendedSize - bytes of state
   * @returns how many of them count
   */
  #finishXsave(extendedSize: number): number {
    const {words} = this.memory;
    let features = words[(XSAVE_AT + SW_BYTES) / 8] ?? 0n;
    let size = extendedSize;
    // ptrace shows room for tiles to every thread, and rt_sigreturn accepts it from those only that were granted them
    if (size > XTILE_DATA_AT && ((words[(XSAVE_AT + XSTATE_BV) / 8] ?? 0n) & XFEATURE_XTILE_DATA) === 0n) {
      features &= ~XFEATURE_XTILE_DATA;
      size = XTILE_DATA_AT;
    }
    this.#halves[(XSAVE_AT + SW_BYTES) / 4] = FP_XSTATE_MAGIC1;
    this.#halves[(XSAVE_AT + SW_BYTES + 4) / 4] = size + 4;
    words[(XSAVE_AT + SW_BYTES + 8) / 8] = features;
    this.#halves[(XSAVE_AT + SW_BYTES + 16) / 4] = size;
    this.#halves[(XSAVE_AT + size) / 4] = FP_XSTATE_MAGIC2;
    return size;
  }
}

/** Bytes of room for the arguments of a call. */
export const ROOM = 256;

/** The most bytes of extended state: AVX-512 and AMX. */
export const MOST_XSAVE = 12 * 1024;

// offsets from an address that is a multiple of 64, as XSAVE wants it
const CONTEXT_AT = 64;
const STUB_AT = CONTEXT_AT - 8;
const GENERAL_AT = CONTEXT_AT + 40;
/** Offset of the extended state, behind the 304 bytes of the ucontext up to its signal mask. */
export const XSAVE_AT = 384;

/** UC_FP_XSTATE, UC_SIGCONTEXT_SS, UC_STRICT_RESTORE_SS */
const UC_FLAGS = 7n;

/** Indices of the general registers in the order of `struct sigcontext_64`. */
const SIGCONTEXT = (
  [
    'r8',
    'r9',
    'r10',
    'r11',
    'r12',
    'r13',
    'r14',
    'r15',
    'rdi',
    'rsi',
    'rbp',
    'rbx',
    'rdx',
    'rax',
    'rcx',
    'rsp',
    'rip',
    'eflags',
  ] satisfies RegisterName[]
).map((name) => USER_REGS.indexOf(name));

const FP_XSTATE_MAGIC1 = 0x46505853;
const FP_XSTATE_MAGIC2 = 0x46505845;
/** Offset of `struct _fpx_sw_bytes` in the area; in what ptrace reads, the kernel's enabled features are there. */
const SW_BYTES = 464;
const XSTATE_BV = 512;
const XFEATURE_XTILE_DATA = 1n << 18n;
/** Offset of AMX's tiles in the standard format. */
const XTILE_DATA_AT = 2816;
