import {constants} from 'node:os';
import type {Descriptor} from '../linux/descriptor.js';
import {SyscallError} from '../linux/errno.js';
import {KvmDevice} from '../kvm/device.js';
import type {Vm} from '../kvm/system.js';
import {Pidfd} from '../linux/proc/pidfd.js';
import type {Owner} from './owner.js';

/** kvfio itself as the owner of a VM. Devices that were created and files that were given live until it is disposed of. */
export class DirectOwner implements Owner {
  readonly way = 'direct';
  readonly pid = process.pid;
  readonly #vm: Vm;
  readonly #held = new Map<number, Descriptor>();

  /** Borrows `vm`; the caller still closes it. */
  constructor(vm: Vm) {
    this.#vm = vm;
  }

  createDevice(vmFd: number, type: number): number {
    if (vmFd !== this.#vm.fd) throw notOpen('ioctl(KVM_CREATE_DEVICE)');
    return this.#hold(this.#vm.createDevice(type));
  }

  setDeviceAttr(deviceFd: number, group: number, attr: number, fd: number): void {
    const device = this.#held.get(deviceFd);
    if (!(device instanceof KvmDevice)) throw notOpen('ioctl(KVM_SET_DEVICE_ATTR)');
    device.setAttr(group, attr, Buffer.from(new Int32Array([fd]).buffer));
  }

  giveDescriptor(descriptor: Descriptor): number {
    return this.#hold(this.takeDescriptor(descriptor.fd));
  }

  closeDescriptor(fd: number): void {
    const held = this.#held.get(fd);
    if (held === undefined) throw notOpen('close');
    this.#held.delete(fd);
    held[Symbol.dispose]();
  }

  takeDescriptor(fd: number): Descriptor {
    using self = Pidfd.open(process.pid);
    return self.getfd(fd);
  }

  together<T>(work: () => T): T {
    return work();
  }

  [Symbol.dispose](): void {
    for (const fd of this.#held.keys()) this.closeDescriptor(fd);
  }

  #hold(descriptor: Descriptor): number {
    this.#held.set(descriptor.fd, descriptor);
    return descriptor.fd;
  }
}

const notOpen = (syscall: string): SyscallError => new SyscallError(syscall, constants.errno.EBADF);
