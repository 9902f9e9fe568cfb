import {PinnedMemory} from '../../linux/memory.js';
import type {RegisterName, Registers} from '../../linux/registers.js';

/**
 * A signal frame as the kernel would write it (struct rt_sigframe in arch/x86/include/asm/sigframe.h), with the complete
 * state of a stopped thread. From the frame upwards lies all that a call needs too, so that a signal handler that runs
 * meanwhile pushes below it:
 *
 *     address of the rt_sigreturn stub | struct ucontext | XSAVE area | room for arguments | red zone, stack of the owner
 *
 * It is built in memory that is prepared before the thread is stopped.
 */
export class SignalFrame {
  /** The most bytes that one has. */
  static readonly capacity = 16 * 1024;

  /** Where it is built. The thread's extended state is put into its place by {@link Tracee.extendedState}. */
  readonly memory = new PinnedMemory(SignalFrame.capacity);
  #base = 0n;
  #dataAt = 0;

  /** The stack pointer with which the thread makes calls: the address of the stub's address, and of {@link bytes}. */
  get stackForCalls(): bigint {
    return this.#base + BigInt(STUB_AT);
  }

  /** The stack pointer with which it executes rt_sigreturn. */
  get stackForSigreturn(): bigint {
    return this.#base + BigInt(CONTEXT_AT);
  }

  /** Address of {@link ROOM} bytes for the arguments of calls. */
  get data(): bigint {
    return this.#base + BigInt(this.#dataAt);
  }

  /** What is to be written at {@link stackForCalls}. */
  get bytes(): Buffer {
    return this.memory.bytes.subarray(STUB_AT, this.#dataAt + ROOM);
  }

  /**
   * @param registers - with which the thread goes on
   * @param signalMask - its blocked signals
   * @param extendedSize - bytes of extended state that were put at {@link XSAVE_AT}
   * @param sigreturn - address of the stub
   */
  fill(registers: Registers, signalMask: bigint, extendedSize: number, sigreturn: bigint): void {
    const {bytes} = this.memory;
    const size = finishXsave(bytes.subarray(XSAVE_AT, XSAVE_AT + extendedSize + 4));
    this.#dataAt = (XSAVE_AT + size + 4 + 63) & ~63;
    const top = registers.get('rsp') - RED_ZONE;
    this.#base = top - (top % 64n) - BigInt(this.#dataAt + ROOM);

    bytes.writeBigUInt64LE(sigreturn, STUB_AT);
    bytes.writeBigUInt64LE(UC_FLAGS, CONTEXT_AT);
    // uc_stack stays zero: a size below MINSIGSTKSZ is refused, and the thread keeps the alternate stack that it has
    for (let index = 0; index < SIGCONTEXT.length; index += 1) {
      bytes.writeBigUInt64LE(registers.get(SIGCONTEXT[index] ?? 'rip'), GENERAL_AT + index * 8);
    }
    bytes.writeUInt16LE(Number(registers.get('cs')), CONTEXT_AT + 184);
    bytes.writeUInt16LE(Number(registers.get('ss')), CONTEXT_AT + 190);
    bytes.writeBigUInt64LE(this.#base + BigInt(XSAVE_AT), CONTEXT_AT + 224);
    bytes.writeBigUInt64LE(signalMask, CONTEXT_AT + 296);
  }
}

/** Bytes of room for the arguments of a call. */
export const ROOM = 256;

/** The most bytes of extended state: AVX-512 and AMX. */
export const MOST_XSAVE = 12 * 1024;

/** Below the stack pointer, a function of the x86-64 ABI may keep so many bytes. */
const RED_ZONE = 128n;

// offsets from an address that is a multiple of 64, as XSAVE wants it
const CONTEXT_AT = 64;
const STUB_AT = CONTEXT_AT - 8;
const GENERAL_AT = CONTEXT_AT + 40;
/** Behind the 304 bytes of the ucontext up to its signal mask. */
export const XSAVE_AT = 384;

/** UC_FP_XSTATE, UC_SIGCONTEXT_SS, UC_STRICT_RESTORE_SS */
const UC_FLAGS = 7n;

/** General registers in the order of `struct sigcontext_64`. */
const SIGCONTEXT: readonly RegisterName[] = [
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
];

const FP_XSTATE_MAGIC1 = 0x46505853;
const FP_XSTATE_MAGIC2 = 0x46505845;
/** Offset of `struct _fpx_sw_bytes` in the area; in what ptrace reads, the kernel's enabled features are there. */
const SW_BYTES = 464;
const XSTATE_BV = 512;
const XFEATURE_XTILE_DATA = 1n << 18n;
/** Offset of AMX's tiles in the standard format. */
const XTILE_DATA_AT = 2816;

/**
 * Puts in the magic words that make rt_sigreturn restore all of an XSAVE area, and not only its first 512 bytes.
 *
 * @param area - the state, and 4 bytes of room
 * @returns bytes of state that count
 */
const finishXsave = (area: Buffer): number => {
  let features = area.readBigUInt64LE(SW_BYTES);
  let size = area.length - 4;
  // ptrace shows room for tiles to every thread, and rt_sigreturn accepts it from those only that were granted them
  if (size > XTILE_DATA_AT && (area.readBigUInt64LE(XSTATE_BV) & XFEATURE_XTILE_DATA) === 0n) {
    features &= ~XFEATURE_XTILE_DATA;
    size = XTILE_DATA_AT;
  }
  area.writeUInt32LE(FP_XSTATE_MAGIC1, SW_BYTES);
  area.writeUInt32LE(size + 4, SW_BYTES + 4);
  area.writeBigUInt64LE(features, SW_BYTES + 8);
  area.writeUInt32LE(size, SW_BYTES + 16);
  area.writeUInt32LE(FP_XSTATE_MAGIC2, size);
  return size;
};
