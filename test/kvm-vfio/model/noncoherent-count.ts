import {existsSync, readFileSync, writeFileSync} from 'node:fs';
import {SyscallError} from '../../../src/linux/errno.js';
import {addressOfSymbol, Breakpoint} from './breakpoint.js';
import {counterOffset} from './counter-offset.js';

/** Counts how often this thread has the kernel take a VM for non-coherent, and back. */
export interface NoncoherentCount extends Disposable {
  by: 'calls' | 'writes';
  read: () => [on: number, off: number];
  /** To be called right after this process made a VM. */
  vmCreated: () => void;
}

/**
 * The count by the means that the running kernel allows.
 *
 * @param vmlinux - path of the running kernel as an ELF file, which only a kernel without kprobes needs
 */
export const noncoherentCount = (vmlinux: string): NoncoherentCount => {
  try {
    return new CallCount();
  } catch (error) {
    if (error instanceof SyscallError && error.code === 'EINVAL' && existsSync(vmlinux))
      return new WriteCount(counterOffset(readFileSync(vmlinux), addressOfSymbol(REGISTER)));
    throw error;
  }
};

const REGISTER = 'kvm_arch_register_noncoherent_dma';

/** By breakpoints on the two functions that change the counter of a VM. */
class CallCount implements NoncoherentCount {
  readonly by = 'calls';
  readonly #register = new Breakpoint(addressOfSymbol(REGISTER), 'executed');
  readonly #unregister = new Breakpoint(addressOfSymbol('kvm_arch_unregister_noncoherent_dma'), 'executed');

  read(): [number, number] {
    return [this.#register.count(), this.#unregister.count()];
  }

  vmCreated(): void {
    // the functions are those of all VMs
  }

  [Symbol.dispose](): void {
    this.#register[Symbol.dispose]();
    this.#unregister[Symbol.dispose]();
  }
}

/**
 * By a breakpoint on the counter of each VM, `noncoherent_dma_count` of struct kvm_arch. A kvm-vfio device has it at 0 or
 * 1, so that each second write is the way back.
 */
class WriteCount implements NoncoherentCount {
  readonly by = 'writes';
  readonly #offset: bigint;
  /** By the address of struct kvm. */
  readonly #vms = new Map<bigint, Breakpoint>();
  readonly #ended: [number, number] = [0, 0];

  /** @param offset - of the counter in struct kvm */
  constructor(offset: bigint) {
    this.#offset = offset;
    // shows root the addresses in /proc/vmallocinfo (%pK)
    writeFileSync('/proc/sys/kernel/kptr_restrict', '1');
  }

  read(): [number, number] {
    return [...this.#vms.values()].map(turns).reduce(sum, this.#ended);
  }

  vmCreated(): void {
    const now = vmAddresses();
    for (const [address, counter] of this.#vms) {
      // a new VM may be where one was that has ended, with an even number of writes
      if (now.includes(address)) continue;
      const [on, off] = turns(counter);
      this.#ended[0] += on;
      this.#ended[1] += off;
      counter[Symbol.dispose]();
      this.#vms.delete(address);
    }
    for (const address of now)
      if (!this.#vms.has(address)) this.#vms.set(address, new Breakpoint(address + this.#offset, 'written'));
  }

  [Symbol.dispose](): void {
    for (const counter of this.#vms.values()) counter[Symbol.dispose]();
  }
}

const turns = (counter: Breakpoint): [number, number] => {
  const writes = counter.count();
  return [Math.ceil(writes / 2), Math.floor(writes / 2)];
};

const sum = (a: [number, number], b: [number, number]): [number, number] => [a[0] + b[0], a[1] + b[1]];

/** Addresses of all struct kvm that there are, which x86 has in vmalloc'ed memory (kvm_arch_alloc_vm, up to Linux 6.15). */
const vmAddresses = (): bigint[] =>
  [...readFileSync('/proc/vmallocinfo', 'latin1').matchAll(VM_AREA)].map(([, address = '']) =>
    BigInt(address),
  );

/** Where it is inlined, its caller is named. */
const VM_AREA = /^(0x[0-9a-f]+)-0x[0-9a-f]+ +\d+ (?:kvm_arch_alloc_vm|kvm_create_vm|kvm_dev_ioctl)\+/gm;
