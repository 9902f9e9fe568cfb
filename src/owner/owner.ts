import type {Descriptor} from '../linux/descriptor.js';

/** How the owner of a VM is made to execute a system call: by kvfio being it, by asking it, or by ptrace. */
export type OwnerWay = 'direct' | 'agent' | 'inject';

/**
 * The process that created a VM. Only it can use the VM's descriptors: KVM answers EIO to every other address space
 * (kvm_vm_ioctl and kvm_device_ioctl in virt/kvm/kvm_main.c), so whatever is to be done, the owner does.
 *
 * Descriptors are numbers here, and they are the owner's. Every method throws a {@link SyscallError} with the error
 * number that the owner got.
 */
export interface Owner extends Disposable {
  /** Process id as kvfio sees it. */
  readonly pid: number;
  readonly way: OwnerWay;

  /**
   * Creates a device of a VM (KVM_CREATE_DEVICE).
   *
   * @returns the device's descriptor
   */
  createDevice(vmFd: number, type: number): number;

  /** Sets a device attribute whose payload is a descriptor of the owner (KVM_SET_DEVICE_ATTR). */
  setDeviceAttr(deviceFd: number, group: number, attr: number, fd: number): void;

  /**
   * Gives the owner a descriptor of kvfio's, close-on-exec.
   *
   * @returns its number in the owner
   */
  giveDescriptor(descriptor: Descriptor): number;

  closeDescriptor(fd: number): void;

  /** A descriptor of kvfio's own for an open file of the owner's. The caller closes it. */
  takeDescriptor(fd: number): Descriptor;

  /** Runs calls that belong together with as few interruptions of the owner as this way can: one, where it stops it. */
  together<T>(work: () => T): T;

  /**
   * Throws what the calls would, because of the owner, as far as that shows while it is not disturbed. An owner that only has to be
   * asked has no such method.
   *
   * @throws {@link Failure}
   */
  foresee?(): void;
}
