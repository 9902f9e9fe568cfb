import {Descriptor} from '../linux/descriptor.js';
import {SIZEOF_KVM_REGS, SIZEOF_KVM_SREGS, SIZEOF_KVM_USERSPACE_MEMORY_REGION} from '../linux/ioctl.js';
import {KVM_RUN_HEAD, KvmExit} from './exits.js';
import {KvmStats} from './statistics.js';
import {ioctl} from '../linux/libc.js';
import {enterLongMode} from './long-mode.js';
import {Mapping} from '../linux/mapping.js';
import {PinnedMemory} from '../linux/memory.js';

/** Three pages below 4 GiB that no guest of kvfio's uses; processors without unrestricted guests need them. */
const TSS = 0xfffbd000;

/**
 * Gives a VM the memory of `pages` at guest-physical 0. `pages` must stay referenced for as long as the VM exists.
 *
 * @param address - of the pages; it and their size are multiples of 4096
 * @throws {@link SyscallError}
 */
export const setGuestMemory = (vm: Descriptor, address: bigint, size: number): void => {
  ioctl(vm.fd, 'KVM_SET_TSS_ADDR', TSS);
  // struct kvm_userspace_memory_region: u32 slot, u32 flags, u64 guest_phys_addr, u64 memory_size, u64 userspace_addr
  const region = Buffer.alloc(SIZEOF_KVM_USERSPACE_MEMORY_REGION);
  region.writeBigUInt64LE(BigInt(size), 16);
  region.writeBigUInt64LE(address, 24);
  ioctl(vm.fd, 'KVM_SET_USER_MEMORY_REGION', region);
};

/** General registers, by their places in struct kvm_regs (arch/x86/include/uapi/asm/kvm.h). */
const REGISTERS = {rsi: 32, rdi: 40, r12: 96, r13: 104, rip: 128, rflags: 136};
export type VcpuRegister = keyof typeof REGISTERS;

/** A virtual CPU (x86). All its operations are made by one thread, and one that belongs to the VM's creator. */
export class Vcpu extends Descriptor {
  readonly #regs = new PinnedMemory(SIZEOF_KVM_REGS);

  /** @throws {@link SyscallError} */
  static create(vmFd: number): Vcpu {
    return new Vcpu(ioctl(vmFd, 'KVM_CREATE_VCPU', 0));
  }

  /** Makes the CPU begin in 16-bit real mode at a guest-physical address, with all segments at 0. */
  startAt(address: number): void {
    this.#changeSpecial((sregs) => {
      // struct kvm_sregs begins with struct kvm_segment cs: u64 base, u32 limit, u16 selector
      sregs.writeBigUInt64LE(0n, 0);
      sregs.writeUInt16LE(0, 12);
    });
    this.setRegisters({rip: address});
  }

  /** Puts the CPU into 64-bit mode, see {@link enterLongMode}. */
  startInLongMode(pageTable: number): void {
    this.#changeSpecial((sregs) => {
      enterLongMode(sregs, pageTable);
    });
  }

  /** Sets these registers, and all others to 0. Of the flags only the one that is always set is. */
  setRegisters(values: Partial<Record<VcpuRegister, number>>): void {
    const {bytes} = this.#regs;
    bytes.fill(0);
    bytes.writeUInt32LE(2, REGISTERS.rflags);
    for (const name of Object.keys(values) as VcpuRegister[])
      bytes.writeBigUInt64LE(BigInt(values[name] ?? 0), REGISTERS[name]);
    this.ioctl('KVM_SET_REGS', bytes);
  }

  /** The value of a register, of up to 53 bits. Has the kernel load the vCPU's state on the CPU of this thread. */
  getRegister(name: VcpuRegister): number {
    const {bytes} = this.#regs;
    this.ioctl('KVM_GET_REGS', bytes);
    return Number(bytes.readBigUInt64LE(REGISTERS[name]));
  }

  /**
   * Sets what the guest's CPU can do.
   *
   * @param cpuid - `struct kvm_cpuid2`, such as KVM supports it
   */
  setCpuid(cpuid: Buffer): void {
    this.ioctl('KVM_SET_CPUID2', cpuid);
  }

  /**
   * Frequency of the guest's time-stamp counter in kHz (KVM_GET_TSC_KHZ).
   *
   * @throws {@link SyscallError}; EIO when the host's is not stable
   */
  tscKhz(): number {
    return this.ioctl('KVM_GET_TSC_KHZ');
  }

  /** The vCPU's statistics, which the caller closes. */
  stats(): KvmStats {
    return new KvmStats(this.ioctl('KVM_GET_STATS_FD'));
  }

  /**
   * Lets the guest run until it needs the VMM (KVM_RUN). Blocks.
   *
   * @throws {@link SyscallError}; EINTR when a signal came
   */
  run(): void {
    this.ioctl('KVM_RUN');
  }

  #changeSpecial(change: (sregs: Buffer) => void): void {
    const sregs = Buffer.alloc(SIZEOF_KVM_SREGS);
    this.ioctl('KVM_GET_SREGS', sregs);
    change(sregs);
    this.ioctl('KVM_SET_SREGS', sregs);
  }
}

/** `struct kvm_run` of a vCPU: why KVM_RUN returned. */
export class VcpuExits implements Disposable {
  readonly #mapping: Mapping;

  /** @param size - as {@link Kvm.vcpuMappingSize} says */
  constructor(vcpu: Vcpu, size: number) {
    this.#mapping = new Mapping(vcpu, size);
  }

  last(): KvmExit {
    const head = Buffer.alloc(KVM_RUN_HEAD);
    this.#mapping.read(0, head);
    return new KvmExit(head);
  }

  [Symbol.dispose](): void {
    this.#mapping[Symbol.dispose]();
  }
}
