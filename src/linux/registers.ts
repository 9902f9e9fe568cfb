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

export const SIZEOF_USER_REGS = USER_REGS.length * 8;

/** The general registers of a stopped thread. Immutable: what comes from a thread can go back byte for byte. */
export class Registers {
  readonly #values: BigUint64Array;

  /** @param bytes - a `struct user_regs_struct`, which is copied */
  constructor(bytes: Buffer | BigUint64Array) {
    this.#values = new BigUint64Array(USER_REGS.length);
    new Uint8Array(this.#values.buffer).set(new Uint8Array(bytes.buffer, bytes.byteOffset, SIZEOF_USER_REGS));
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

  copyTo(target: Buffer): void {
    target.set(new Uint8Array(this.#values.buffer));
  }
}

const INDEX = Object.fromEntries(USER_REGS.map((name, index) => [name, index])) as Record<
  RegisterName,
  number
>;
