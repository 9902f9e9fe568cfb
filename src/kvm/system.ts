import {Failure} from '../failure.js';
import {Descriptor, checked} from '../linux/descriptor.js';
import {SyscallError} from '../linux/errno.js';
import type {EventFd} from '../linux/eventfd.js';
import {
  KVM_API_VERSION,
  KVM_CREATE_DEVICE_TEST,
  KVM_DEV_TYPE_VFIO,
  KVM_IOEVENTFD_FLAG_PIO,
  SIZEOF_KVM_CPUID2,
  SIZEOF_KVM_CPUID_ENTRY2,
  SIZEOF_KVM_CREATE_DEVICE,
  SIZEOF_KVM_IOEVENTFD,
} from '../linux/ioctl.js';
import {KvmDevice, KvmVfio} from './device.js';
import {O_RDWR, open, retryInterrupted} from '../linux/libc.js';

/**
 * /dev/kvm.
 *
 * @example
 * using kvm = Kvm.open();
 * using vm = kvm.createVm();
 * using device = vm.createDevice(KVM_DEV_TYPE_VFIO);
 * device.addFile(group);
 */
export class Kvm extends Descriptor {
  /**
   * @throws {@link SyscallError} when it cannot be opened, or is not KVM's (ENOTTY)
   * @throws {@link Failure} when the kernel speaks another version of the interface
   */
  static open(path = '/dev/kvm'): Kvm {
    return checked(new Kvm(open(path, O_RDWR), path), (kvm) => {
      const version = kvm.ioctl('KVM_GET_API_VERSION');
      if (version === KVM_API_VERSION) return;
      throw new Failure({
        code: 'KVM_API_VERSION',
        kind: 'cannotDecide',
        what: `${path} cannot be used.`,
        why: `It speaks version ${version} of the KVM interface, and kvfio speaks version ${KVM_API_VERSION}.`,
        hint: 'Use Linux 2.6.22 or newer.',
      });
    });
  }

  /** What KVM says of a capability: 0 is no, a positive number is yes or the capability's value. */
  checkExtension(capability: number): number {
    return this.ioctl('KVM_CHECK_EXTENSION', capability);
  }

  /** Bytes of a vCPU's `struct kvm_run` with what follows it (KVM_GET_VCPU_MMAP_SIZE). */
  vcpuMappingSize(): number {
    return this.ioctl('KVM_GET_VCPU_MMAP_SIZE');
  }

  /**
   * Features that a guest's CPU can have (KVM_GET_SUPPORTED_CPUID).
   *
   * @returns `struct kvm_cpuid2` with its entries
   */
  supportedCpuid(): Buffer {
    // KVM_MAX_CPUID_ENTRIES is 256 (arch/x86/include/asm/kvm_host.h); with room for fewer the kernel may answer E2BIG
    const bytes = Buffer.alloc(SIZEOF_KVM_CPUID2 + 256 * SIZEOF_KVM_CPUID_ENTRY2);
    bytes.writeUInt32LE(256, 0);
    this.ioctl('KVM_GET_SUPPORTED_CPUID', bytes);
    return bytes.subarray(0, SIZEOF_KVM_CPUID2 + bytes.readUInt32LE(0) * SIZEOF_KVM_CPUID_ENTRY2);
  }

  /** Creates a VM of the default type, which belongs to this process's address space. */
  createVm(): Vm {
    // EINTR when a signal is pending while the kernel takes the locks of the address space
    return new Vm(retryInterrupted(() => this.ioctl('KVM_CREATE_VM')));
  }
}

/** A VM. Its descriptor keeps it alive, and so do those of its devices. */
export class Vm extends Descriptor {
  /**
   * Creates a device.
   *
   * @throws {@link SyscallError}; EBUSY for a second kvm-vfio device, ENODEV when the kernel does not know the type,
   * EIO in another address space than that of the VM's creator
   */
  createDevice(type: typeof KVM_DEV_TYPE_VFIO): KvmVfio;
  createDevice(type: number): KvmDevice;
  createDevice(type: number): KvmDevice {
    const request = kvmCreateDevice(type, 0);
    this.ioctl('KVM_CREATE_DEVICE', request);
    const fd = request.readInt32LE(4);
    return type === KVM_DEV_TYPE_VFIO ? new KvmVfio(fd) : new KvmDevice(fd);
  }

  /**
   * Makes KVM itself answer every OUT of one byte to a port, by adding 1 to a counter (KVM_IOEVENTFD), until the VM ends.
   *
   * @throws {@link SyscallError}
   */
  countOut(port: number, counter: EventFd): void {
    // struct kvm_ioeventfd: u64 datamatch, u64 addr, u32 len, s32 fd, u32 flags
    const bytes = Buffer.alloc(SIZEOF_KVM_IOEVENTFD);
    bytes.writeBigUInt64LE(BigInt(port), 8);
    bytes.writeUInt32LE(1, 16);
    bytes.writeInt32LE(counter.fd, 20);
    bytes.writeUInt32LE(KVM_IOEVENTFD_FLAG_PIO, 24);
    this.ioctl('KVM_IOEVENTFD', bytes);
  }

  /**
   * Whether this kernel can create such a device. Creates nothing, and says yes to a type that this VM has already
   * got its only device of.
   */
  supportsDevice(type: number): boolean {
    try {
      this.ioctl('KVM_CREATE_DEVICE', kvmCreateDevice(type, KVM_CREATE_DEVICE_TEST));
      return true;
    } catch (error) {
      if (error instanceof SyscallError && error.code === 'ENODEV') return false;
      throw error;
    }
  }
}

const kvmCreateDevice = (type: number, flags: number): Buffer => {
  const bytes = Buffer.alloc(SIZEOF_KVM_CREATE_DEVICE);
  bytes.writeUInt32LE(type, 0);
  bytes.writeUInt32LE(flags, 8);
  return bytes;
};
