import {readFileSync} from 'node:fs';
import {Descriptor} from '../../../src/linux/descriptor.js';
import {syscall} from '../../../src/linux/libc.js';
import {PinnedMemory} from '../../../src/linux/memory.js';

// include/uapi/linux/perf_event.h and hw_breakpoint.h
const PERF_TYPE_BREAKPOINT = 5;
const PERF_FLAG_FD_CLOEXEC = 8;
const SIZEOF_PERF_EVENT_ATTR = 128;
/** bp_type and bp_len; the kernel wants sizeof(long) for all that are executed. */
const KINDS = {executed: [4, 8n], written: [2, 4n]} as const;

/**
 * Counts exactly how often this thread executes the instruction at an address of the kernel, or writes the 32-bit number
 * there: by a breakpoint of the CPU, of which there are four. Needs root.
 */
export class Breakpoint implements Disposable {
  readonly #event: Descriptor;
  readonly #value = new PinnedMemory(8);

  /**
   * @throws {@link SyscallError}: EINVAL for `executed` on a kernel without kprobes (arch_build_bp_info in
   * arch/x86/kernel/hw_breakpoint.c)
   */
  constructor(address: bigint, kind: keyof typeof KINDS) {
    const [type, length] = KINDS[kind];
    const attributes = new PinnedMemory(SIZEOF_PERF_EVENT_ATTR);
    // struct perf_event_attr: u32 type, u32 size, …, at 52 u32 bp_type, u64 bp_addr, u64 bp_len
    attributes.bytes.writeUInt32LE(PERF_TYPE_BREAKPOINT, 0);
    attributes.bytes.writeUInt32LE(SIZEOF_PERF_EVENT_ATTR, 4);
    attributes.bytes.writeUInt32LE(type, 52);
    attributes.bytes.writeBigUInt64LE(address, 56);
    attributes.bytes.writeBigUInt64LE(length, 64);
    const fd = syscall('perf_event_open', [attributes.address, 0, -1, -1, PERF_FLAG_FD_CLOEXEC]);
    this.#event = new Descriptor(fd);
  }

  count(): number {
    syscall('read', [this.#event.fd, this.#value.address, 8]);
    return Number(this.#value.bytes.readBigUInt64LE());
  }

  [Symbol.dispose](): void {
    this.#event[Symbol.dispose]();
  }
}

/** Address of the first of these functions that the running kernel has. */
export const addressOfSymbol = (...symbols: string[]): bigint => {
  const kallsyms = readFileSync('/proc/kallsyms', 'utf8');
  for (const symbol of symbols) {
    const [, address] = new RegExp(`^([0-9a-f]+) [tT] ${symbol}\\b`, 'm').exec(kallsyms) ?? [];
    if (address !== undefined) return BigInt(`0x${address}`);
  }
  throw new Error(`the kernel shows no ${symbols.join(' and no ')}`);
};
