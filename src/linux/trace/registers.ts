/** The fields of x86-64's `struct user_regs_struct`, 8 bytes each, in order (arch/x86/include/asm/user_64.h). */
export const USER_REGS = [
  'r15',
  'r14',
  'r13',
  'r12',
  'rbp',
  'rbx',
  'r11',
  'r10',
  'r9',
  'r8',
  'rax',
  'rcx',
  'rdx',
  'rsi',
  'rdi',
  'orig_rax',
  'rip',
  'cs',
  'eflags',
  'rsp',
  'ss',
  'fs_base',
  'gs_base',
  'ds',
  'es',
  'fs',
  'gs',
] as const;

export type RegisterName = (typeof USER_REGS)[number];

/** The general registers of a stopped thread. Immutable: what comes from a thread can go back byte for byte. */
export class Registers {
  readonly #values: BigUint64Array;

  /** @param words - a `struct user_regs_struct`, which is copied */
  constructor(words: BigUint64Array) {
    this.#values = words.slice(0, USER_REGS.length);
  }

  /** The value, unsigned. */
  get(name: RegisterName): bigint {
    return this.#values[INDEX[name]] ?? 0n;
  }

  /** The value, signed, as the kernel looks at an error in rax and at the call's number in orig_rax. */
  getSigned(name: RegisterName): number {
    return Number(BigInt.asIntN(64, this.get(name)));
  }

  with(changes: Partial<Record<RegisterName, bigint>>): Registers {
    const changed = new Registers(this.#values);
    for (const name in changes) {
      changed.#values[INDEX[name as RegisterName]] = changes[name as RegisterName] ?? 0n; // modulo 2^64
    }
    return changed;
  }

  /** The same at the entry of a call: its number, its arguments, and where the thread is. */
  calling(number: number, args: readonly (number | bigint)[], rip: bigint, rsp: bigint): Registers {
    const changed = new Registers(this.#values);
    const values = changed.#values;
    values[INDEX.orig_rax] = BigInt(number);
    for (let at = 0; at < ARGUMENTS.length; at += 1) values[ARGUMENTS[at] ?? 0] = BigInt(args[at] ?? 0);
    values[INDEX.rip] = rip;
    values[INDEX.rsp] = rsp;
    return changed;
  }

  copyTo(target: BigUint64Array): void {
    target.set(this.#values);
  }

  /** Copies those with these indices in {@link USER_REGS}, one behind the other, to `target` from `at` on. */
  pick(indices: readonly number[], target: BigUint64Array, at: number): void {
    for (let count = 0; count < indices.length; count += 1)
      target[at + count] = this.#values[indices[count] ?? 0] ?? 0n;
  }
}

const INDEX: Readonly<Record<RegisterName, number>> = Object.fromEntries(
  USER_REGS.map((name, index) => [name, index]),
) as Record<RegisterName, number>;

/** Registers of a system call's arguments, in their order. */
const ARGUMENTS = [INDEX.rdi, INDEX.rsi, INDEX.rdx, INDEX.r10, INDEX.r8, INDEX.r9];
