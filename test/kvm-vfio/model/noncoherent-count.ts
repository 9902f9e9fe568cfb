import {readFileSync} from 'node:fs';
import {Descriptor} from '../../../src/linux/descriptor.js';
import {syscall} from '../../../src/linux/libc.js';
import {PinnedMemory} from '../../../src/linux/memory.js';

// include/uapi/linux/perf_event.h and hw_breakpoint.h
const PERF_TYPE_BREAKPOINT = 5;
const PERF_FLAG_FD_CLOEXEC = 8;
const HW_BREAKPOINT_X = 4;
const SIZEOF_PERF_EVENT_ATTR = 128;

/**
 * Counts how often this thread has the kernel take a VM for non-coherent, and back, by breakpoints of the CPU on the two
 * functions that do so. Needs root, and a kernel with kprobes, which are not used: on others it allows no such breakpoint
 * (arch_build_bp_info in arch/x86/kernel/hw_breakpoint.c).
 */
export class NoncoherentCount implements Disposable {
  readonly #register = new Calls('kvm_arch_register_noncoherent_dma');
  readonly #unregister = new Calls('kvm_arch_unregister_noncoherent_dma');

  read(): [on: number, off: number] {
    return [this.#register.count(), this.#unregister.count()];
  }

  [Symbol.dispose](): void {
    this.#register[Symbol.dispose]();
    this.#unregister[Symbol.dispose]();
  }
}

/** Counts this thread's calls of a kernel function. */
class Calls implements Disposable {
  readonly #event: Descriptor;
  readonly #value = new PinnedMemory(8);

  /** @throws {@link SyscallError} */
  constructor(symbol: string) {
    const attributes = new PinnedMemory(SIZEOF_PERF_EVENT_ATTR);
    // struct perf_event_attr: u32 type, u32 size, …, at 52 u32 bp_type, u64 bp_addr, u64 bp_len
    attributes.bytes.writeUInt32LE(PERF_TYPE_BREAKPOINT, 0);
    attributes.bytes.writeUInt32LE(SIZEOF_PERF_EVENT_ATTR, 4);
    attributes.bytes.writeUInt32LE(HW_BREAKPOINT_X, 52);
    attributes.bytes.writeBigUInt64LE(addressOfSymbol(symbol), 56);
    attributes.bytes.writeBigUInt64LE(8n, 64); // sizeof(long), as for all that are executed
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

const addressOfSymbol = (symbol: string): bigint => {
  const [, address] =
    new RegExp(`^([0-9a-f]+) [tT] ${symbol}\\b`, 'm').exec(readFileSync('/proc/kallsyms', 'utf8')) ?? [];
  if (address === undefined) throw new Error(`the kernel shows no ${symbol}`);
  return BigInt(`0x${address}`);
};
