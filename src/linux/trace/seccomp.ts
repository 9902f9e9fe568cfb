/** What the kernel does with a system call under a thread's seccomp filters. */
export type SeccompVerdict =
  /** The call is carried out. */
  | 'runs'
  /** The call fails with an error number and changes nothing. */
  | 'fails'
  /** The thread or process is killed, gets SIGSYS, or waits for a supervisor's decision. */
  | 'harms';

/** A system call as a filter sees it: `struct seccomp_data`. */
export interface SeccompCall {
  number: number;
  /** AUDIT_ARCH_*, which distinguishes 64-bit calls from 32-bit ones. */
  arch: number;
  /** Address behind the instruction that makes the call. */
  instructionPointer: bigint;
  args: readonly bigint[];
}

export const AUDIT_ARCH_X86_64 = 0xc000003e;

/**
 * What becomes of a call under all filters of a thread: each is asked, and the strictest answer counts
 * (seccomp_run_filters and __seccomp_filter in kernel/seccomp.c).
 *
 * @param filters - classic BPF programs, as {@link Tracee.seccompFilter} reads them
 */
export const seccompVerdict = (filters: readonly Buffer[], call: SeccompCall): SeccompVerdict => {
  const data = seccompData(call);
  const actions = filters.map((filter) => (runFilter(filter, data) & SECCOMP_RET_ACTION_FULL) | 0);
  const strictest = Math.min(SECCOMP_RET_ALLOW, ...actions); // signed: KILL_PROCESS is the smallest
  if (strictest === SECCOMP_RET_ALLOW || strictest === SECCOMP_RET_LOG) return 'runs';
  if (strictest === SECCOMP_RET_ERRNO || strictest === SECCOMP_RET_TRACE) return 'fails';
  return 'harms';
};

// include/uapi/linux/seccomp.h
const SECCOMP_RET_ACTION_FULL = 0xffff0000;
const SECCOMP_RET_ERRNO = 0x00050000;
/** ENOSYS where no tracer asked for events. */
const SECCOMP_RET_TRACE = 0x7ff00000;
const SECCOMP_RET_LOG = 0x7ffc0000;
const SECCOMP_RET_ALLOW = 0x7fff0000;

/** `struct seccomp_data`: int nr, u32 arch, u64 instruction_pointer, u64 args[6]. */
const seccompData = ({number, arch, instructionPointer, args}: SeccompCall): Buffer => {
  const data = Buffer.alloc(64);
  data.writeInt32LE(number, 0);
  data.writeUInt32LE(arch, 4);
  data.writeBigUInt64LE(instructionPointer, 8);
  args.forEach((arg, index) => data.writeBigUInt64LE(BigInt.asUintN(64, arg), 16 + index * 8));
  return data;
};

// include/uapi/linux/bpf_common.h and filter.h: an instruction's code is class | size or operation | mode or source
const [LD_W_ABS, LD_W_LEN, LDX_W_LEN, LD_IMM, LDX_IMM, LD_MEM, LDX_MEM, ST, STX] = [
  0x20, 0x80, 0x81, 0x00, 0x01, 0x60, 0x61, 0x02, 0x03,
];
const [RET_K, RET_A, TAX, TXA] = [0x06, 0x16, 0x07, 0x87];
const [ALU, JMP, SOURCE_X] = [0x04, 0x05, 0x08];

/**
 * Runs a classic BPF program of the kind that seccomp accepts (seccomp_check_filter). It ends: jumps go forward only.
 *
 * @returns what it returns, unsigned
 */
const runFilter = (program: Buffer, data: Buffer): number => {
  const memory = new Uint32Array(16);
  let [a, x] = [0, 0];
  for (let pc = 0; pc * 8 < program.length; pc += 1) {
    // struct sock_filter: u16 code, u8 jt, u8 jf, u32 k
    const code = program.readUInt16LE(pc * 8);
    const k = program.readUInt32LE(pc * 8 + 4);
    if (code === LD_W_ABS) a = data.readUInt32LE(k);
    else if (code === LD_W_LEN) a = data.length;
    else if (code === LDX_W_LEN) x = data.length;
    else if (code === LD_IMM) a = k;
    else if (code === LDX_IMM) x = k;
    else if (code === LD_MEM) a = memory[k] ?? 0;
    else if (code === LDX_MEM) x = memory[k] ?? 0;
    else if (code === ST) memory[k] = a;
    else if (code === STX) memory[k] = x;
    else if (code === TAX) x = a;
    else if (code === TXA) a = x;
    else if (code === RET_K) return k;
    else if (code === RET_A) return a;
    else if ((code & 7) === ALU) {
      const operand = (code & SOURCE_X) === 0 ? k : x;
      if (operand === 0 && (code & 0xf0) === 0x30) return 0; // division by zero ends the program with 0
      a = calculate(code & 0xf0, a, operand);
    } else if ((code & 7) === JMP) {
      pc +=
        (code & 0xf0) === 0
          ? k
          : (program[pc * 8 + (holds(code & 0xf0, a, (code & SOURCE_X) === 0 ? k : x) ? 2 : 3)] ?? 0);
    } else break;
  }
  throw new RangeError('not a seccomp filter in classic BPF');
};

const calculate = (operation: number, a: number, operand: number): number => {
  switch (operation) {
    case 0x00:
      return (a + operand) >>> 0;
    case 0x10:
      return (a - operand) >>> 0;
    case 0x20:
      return Math.imul(a, operand) >>> 0;
    case 0x30:
      return Math.floor(a / operand);
    case 0x40:
      return (a | operand) >>> 0;
    case 0x50:
      return (a & operand) >>> 0;
    case 0x60:
      return (a << operand) >>> 0;
    case 0x70:
      return a >>> operand;
    case 0x80:
      return -a >>> 0;
    case 0xa0:
      return (a ^ operand) >>> 0;
    default:
      throw new RangeError('an operation that seccomp does not accept');
  }
};

const holds = (condition: number, a: number, operand: number): boolean => {
  switch (condition) {
    case 0x10:
      return a === operand;
    case 0x20:
      return a > operand;
    case 0x30:
      return a >= operand;
    case 0x40:
      return (a & operand) !== 0;
    default:
      throw new RangeError('a condition that seccomp does not accept');
  }
};
