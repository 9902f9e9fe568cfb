import {Descriptor} from './descriptor.js';
import {syscall} from './libc.js';
import {PinnedMemory} from './memory.js';

// include/uapi/linux/kvm.h, for VM descriptors
const KVM_CREATE_VCPU = 0xae41;
const KVM_SET_USER_MEMORY_REGION = 0x4020ae46;
const KVM_SET_TSS_ADDR = 0xae47;
// and for vCPU descriptors
const KVM_RUN = 0xae80;
const KVM_SET_REGS = 0x4090ae82;
const KVM_GET_SREGS = 0x8138ae83;
const KVM_SET_SREGS = 0x4138ae84;

/** Three pages below 4 GiB that no guest of kvfio's uses; processors without unrestricted guests need them. */
const TSS = 0xfffbd000;

/**
 * Gives a VM the memory of `pages` at guest-physical 0. `pages` must stay referenced for as long as the VM exists.
 *
 * @param pages - its address and length are multiples of 4096
 * @throws {@link SyscallError}
 */
export const setGuestMemory = (vm: Descriptor, address: bigint, size: number): void => {
  syscall('ioctl', [vm.fd, KVM_SET_TSS_ADDR, TSS]);
  // struct kvm_userspace_memory_region: u32 slot, u32 flags, u64 guest_phys_addr, u64 memory_size, u64 userspace_addr
  const region = new PinnedMemory(32);
  region.bytes.writeBigUInt64LE(BigInt(size), 16);
  region.bytes.writeBigUInt64LE(address, 24);
  syscall('ioctl', [vm.fd, KVM_SET_USER_MEMORY_REGION, region.address]);
};

/** A virtual CPU (x86). All its operations are made by one thread, and one that belongs to the VM's creator. */
export class Vcpu extends Descriptor {
  /** @throws {@link SyscallError} */
  static create(vmFd: number): Vcpu {
    return new Vcpu(syscall('ioctl', [vmFd, KVM_CREATE_VCPU, 0]));
  }

  /** Has the CPU begin in 16-bit real mode at a guest-physical address, with all segments at 0. */
  startAt(address: number): void {
    // struct kvm_sregs begins with struct kvm_segment cs: u64 base, u32 limit, u16 selector
    const sregs = new PinnedMemory(312);
    syscall('ioctl', [this.fd, KVM_GET_SREGS, sregs.address]);
    sregs.bytes.writeBigUInt64LE(0n, 0);
    sregs.bytes.writeUInt16LE(0, 12);
    syscall('ioctl', [this.fd, KVM_SET_SREGS, sregs.address]);
    // struct kvm_regs: 16 registers, rip, rflags, of which bit 1 is always set
    const regs = new PinnedMemory(144);
    regs.bytes.writeBigUInt64LE(BigInt(address), 128);
    regs.bytes.writeBigUInt64LE(2n, 136);
    syscall('ioctl', [this.fd, KVM_SET_REGS, regs.address]);
  }

  /**
   * Lets the guest run until it needs the VMM (KVM_RUN). Blocks.
   *
   * @throws {@link SyscallError}; EINTR when a signal came
   */
  run(): void {
    syscall('ioctl', [this.fd, KVM_RUN, 0]);
  }
}
