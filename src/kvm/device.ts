import {Descriptor} from '../linux/descriptor.js';
import {SyscallError} from '../linux/errno.js';
import {
  KVM_DEV_VFIO_FILE,
  KVM_DEV_VFIO_FILE_ADD,
  KVM_DEV_VFIO_FILE_DEL,
  SIZEOF_KVM_DEVICE_ATTR,
} from '../linux/ioctl.js';
import {addressOf} from '../linux/libc.js';

/**
 * A device that the kernel emulates for a VM (Documentation/virt/kvm/devices/).
 *
 * Every operation is EIO in any other address space than that of the VM's creator: in a process that received
 * the descriptor, in a forked child, and in the creator itself after execve (kvm_device_ioctl in virt/kvm/kvm_main.c).
 */
export class KvmDevice extends Descriptor {
  /**
   * Whether the device has this attribute (KVM_HAS_DEVICE_ATTR).
   *
   * @throws {@link SyscallError} for any other answer than yes and ENXIO
   */
  hasAttr(group: number, attr: number): boolean {
    try {
      this.ioctl('KVM_HAS_DEVICE_ATTR', kvmDeviceAttr(group, attr));
      return true;
    } catch (error) {
      if (error instanceof SyscallError && error.code === 'ENXIO') return false;
      throw error;
    }
  }

  /**
   * Sets an attribute (KVM_SET_DEVICE_ATTR).
   *
   * @param payload - what the attribute's documentation says its `addr` points to
   * @throws {@link SyscallError}; ENXIO when the device has no such attribute
   */
  setAttr(group: number, attr: number, payload: Buffer): void {
    this.ioctl('KVM_SET_DEVICE_ATTR', kvmDeviceAttr(group, attr, payload));
  }
}

/**
 * The kvm-vfio device, with which a VM's VFIO files are registered
 * (Documentation/virt/kvm/devices/vfio.rst). What is registered cannot be read back.
 */
export class KvmVfio extends KvmDevice {
  /**
   * Registers a VFIO file: a group, or since Linux 6.6 also a device. KVM keeps the file open until it is deleted
   * here or the kvm-vfio device is closed.
   *
   * @throws {@link SyscallError}; EEXIST when this open file is registered already, EINVAL when it is not VFIO's
   */
  addFile(file: Descriptor): void {
    this.setAttr(KVM_DEV_VFIO_FILE, KVM_DEV_VFIO_FILE_ADD, int32(file.fd));
  }

  /**
   * Unregisters a VFIO file.
   *
   * @param file - any descriptor of the same open file; a second open of the same node is another file
   * @throws {@link SyscallError}; ENOENT when it is not registered
   */
  deleteFile(file: Descriptor): void {
    this.setAttr(KVM_DEV_VFIO_FILE, KVM_DEV_VFIO_FILE_DEL, int32(file.fd));
  }
}

/** `struct kvm_device_attr` with what its `addr` points to right behind it, so that both live and move together. */
const kvmDeviceAttr = (group: number, attr: number, payload: Buffer = Buffer.alloc(0)): Buffer => {
  const bytes = Buffer.from(new ArrayBuffer(SIZEOF_KVM_DEVICE_ATTR + payload.length));
  bytes.writeUInt32LE(group, 4);
  bytes.writeBigUInt64LE(BigInt(attr), 8);
  if (payload.length > 0) bytes.writeBigUInt64LE(addressOf(bytes) + BigInt(SIZEOF_KVM_DEVICE_ATTR), 16);
  payload.copy(bytes, SIZEOF_KVM_DEVICE_ATTR);
  return bytes;
};

const int32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return bytes;
};
