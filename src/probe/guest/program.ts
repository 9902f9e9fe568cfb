import type {Operation} from '../series.js';

/** Machine code, and how a disassembler spells it. Jumps name their target as an offset into the program. */
export type Instruction = readonly [bytes: readonly number[], text: string];

/** The port that the operation `pio` writes to. */
export const PIO_PORT = 0xf4;

/**
 * What the guest executes to take samples of an operation, in 64-bit mode, until it halts:
 *
 * - in: RSI the number of samples, RDI where the first one goes, R12 and R13 address and size (a multiple of 64, or 0)
 *   of the memory that is written to before each sample;
 * - out: at RDI and above 64 bits each, the ticks from before the operation to after it; RDI behind the last one.
 *
 * LFENCE waits until all instructions before it have completed, and none after it begins before that: so nothing of the
 * operation is outside of the bracket. There is no instruction here that KVM's emulator does not know (arch/x86/kvm/
 * emulate.c): back ends without hardware virtualization emulate all of a guest like this one.
 */
export const program = (operation: Operation): Instruction[] => {
  const instructions = [...BEFORE, ...OPERATIONS[operation], ...AFTER];
  const back = length(instructions) + 2;
  return [...instructions, [[0x75, 256 - back], 'jne 0x0'], [[0xf4], 'hlt']];
};

export const assemble = (instructions: readonly Instruction[]): Buffer =>
  Buffer.from(instructions.flatMap(([bytes]) => bytes));

const BEFORE: readonly Instruction[] = [
  // dirty the cache lines from R12 + R13 down
  /* 00 */ [[0x4c, 0x89, 0xe9], 'mov rcx,r13'],
  /* 03 */ [[0x48, 0x83, 0xe9, 0x40], 'sub rcx,0x40'],
  /* 07 */ [[0x72, 0x06], 'jb 0xf'],
  /* 09 */ [[0x49, 0x89, 0x0c, 0x0c], 'mov QWORD PTR [r12+rcx*1],rcx'],
  /* 0d */ [[0xeb, 0xf4], 'jmp 0x3'],
  // r8 = time before
  /* 0f */ [[0x0f, 0xae, 0xf0], 'mfence'],
  /* 12 */ [[0x0f, 0xae, 0xe8], 'lfence'],
  /* 15 */ [[0x0f, 0x31], 'rdtsc'],
  /* 17 */ [[0x48, 0xc1, 0xe2, 0x20], 'shl rdx,0x20'],
  /* 1b */ [[0x4c, 0x8d, 0x04, 0x02], 'lea r8,[rdx+rax*1]'],
  /* 1f */ [[0x0f, 0xae, 0xe8], 'lfence'],
];

const OPERATIONS: Record<Operation, readonly Instruction[]> = {
  wbinvd: [[[0x0f, 0x09], 'wbinvd']],
  wbnoinvd: [[[0xf3, 0x0f, 0x09], 'wbnoinvd']],
  cpuid: [
    [[0x31, 0xc0], 'xor eax,eax'],
    [[0x0f, 0xa2], 'cpuid'],
  ],
  pio: [[[0xe6, PIO_PORT], `out 0x${PIO_PORT.toString(16)},al`]],
  empty: [],
};

const AFTER: readonly Instruction[] = [
  // rax = time after - time before
  [[0x0f, 0xae, 0xe8], 'lfence'],
  [[0x0f, 0x31], 'rdtsc'],
  [[0x48, 0xc1, 0xe2, 0x20], 'shl rdx,0x20'],
  [[0x48, 0x01, 0xd0], 'add rax,rdx'],
  [[0x4c, 0x29, 0xc0], 'sub rax,r8'],
  // *rdi++ = rax
  [[0x48, 0x89, 0x07], 'mov QWORD PTR [rdi],rax'],
  [[0x48, 0x83, 0xc7, 0x08], 'add rdi,0x8'],
  [[0x48, 0xff, 0xce], 'dec rsi'],
];

const length = (instructions: readonly Instruction[]): number =>
  instructions.reduce((sum, [bytes]) => sum + bytes.length, 0);
