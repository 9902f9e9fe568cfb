import {Failure} from '../failure.js';
import {Descriptor, checked} from './descriptor.js';
import {SyscallError} from './errno.js';
import {
  KVM_API_VERSION,
  KVM_CREATE_DEVICE_TEST,
  KVM_DEV_TYPE_VFIO,
  SIZEOF_KVM_CREATE_DEVICE,
} from './ioctl.js';
import {KvmDevice, KvmVfio} from './kvm-device.js';
import {O_RDWR, open, retryInterrupted} from './libc.js';

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
