import type {Descriptor} from '../../linux/descriptor.js';
import {SyscallError} from '../../linux/errno.js';
import {SIZEOF_KVM_CREATE_DEVICE, SIZEOF_KVM_DEVICE_ATTR, IOCTLS, type IoctlName} from '../../linux/ioctl.js';
import type {PtraceObserver} from '../../linux/trace/ptrace.js';
import type {Owner} from '../owner.js';
import {closeInOwner, HandOver, leftBehind} from './hand-over.js';
import {OwnerProcess} from './owner-process.js';
import {withStandIn} from './warm-up.js';
import type {StoppedThread} from './stopped-thread.js';

export interface InjectOptions {
  /** Milliseconds that the owner's thread has for stopping, and for each call. @default 5000 */
  patience?: number;
  /**
   * Use an owner whose seccomp filters would kill it for a call that it is to make, by suspending them. They are in force
   * again if kvfio is killed, which then must not be just before such a call. @default false
   */
  suspendSeccomp?: boolean;
  /**
   * Whether the process still is the one that is meant, asked at each stop when it cannot execute another program any
   * more. @default always
   */
  isRight?: () => boolean;
  /** Receives each ptrace request. */
  observe?: PtraceObserver;
}

/**
 * The owner of a VM, unmodified and unaware: one of its threads is stopped for a moment and made to execute the calls.
 *
 * When kvfio ends, for whatever reason and at whatever moment, the thread goes on as it was; a call that had begun is
 * carried out wholly. All work is done synchronously, so SIGINT and SIGTERM take effect before or after it.
 *
 * Every method throws a {@link Failure} when the owner cannot be used at the moment, and has changed nothing then.
 *
 * @example
 * using owner = InjectedOwner.open(pid);
 * const device = owner.together(() => {
 *   const device = owner.createDevice(vmFd, KVM_DEV_TYPE_VFIO);
 *   owner.setDeviceAttr(device, KVM_DEV_VFIO_FILE, KVM_DEV_VFIO_FILE_ADD, owner.giveDescriptor(group));
 *   return device;
 * });
 */
export class InjectedOwner implements Owner {
  readonly way = 'inject';
  readonly #process: OwnerProcess;
  readonly #handOver: HandOver;
  #stopped: StoppedThread | null = null;
  #isTidy = false;

  /**
   * Looks at a process, and leaves it alone.
   *
   * @throws {@link Failure} when it cannot be made to execute anything, or may not
   */
  static open(
    pid: number,
    {
      patience = 5000,
      suspendSeccomp = false,
      observe = () => undefined,
      isRight = () => true,
    }: InjectOptions = {},
  ): InjectedOwner {
    return new InjectedOwner(OwnerProcess.open(pid, {patience, suspendSeccomp, observe, isRight}));
  }

  private constructor(process: OwnerProcess) {
    this.#process = process;
    this.#handOver = new HandOver(process.pidfd);
  }

  get pid(): number {
    return this.#process.pid;
  }

  createDevice(vmFd: number, type: number): number {
    return this.#whileStopped((thread) => {
      ioctl(thread, vmFd, 'KVM_CREATE_DEVICE', () => {
        const bytes = Buffer.alloc(SIZEOF_KVM_CREATE_DEVICE);
        bytes.writeUInt32LE(type, 0);
        return bytes;
      });
      return thread.data(SIZEOF_KVM_CREATE_DEVICE).readInt32LE(4);
    });
  }

  setDeviceAttr(deviceFd: number, group: number, attr: number, fd: number): void {
    this.#whileStopped((thread) => {
      ioctl(thread, deviceFd, 'KVM_SET_DEVICE_ATTR', (address) => {
        const bytes = Buffer.alloc(SIZEOF_KVM_DEVICE_ATTR + 4);
        bytes.writeUInt32LE(group, 4);
        bytes.writeBigUInt64LE(BigInt(attr), 8);
        bytes.writeBigUInt64LE(address + BigInt(SIZEOF_KVM_DEVICE_ATTR), 16);
        bytes.writeInt32LE(fd, SIZEOF_KVM_DEVICE_ATTR);
        return bytes;
      });
    });
  }

  giveDescriptor(descriptor: Descriptor): number {
    return this.#whileStopped((thread) => this.#handOver.give(thread, descriptor));
  }

  closeDescriptor(fd: number): void {
    this.#whileStopped((thread) => {
      closeInOwner(thread, fd);
    });
  }

  /** Needs no stop. */
  takeDescriptor(fd: number): Descriptor {
    return this.#process.take(fd);
  }

  together<T>(work: () => T): T {
    return this.#whileStopped(work);
  }

  foresee(): void {
    this.#process.foresee();
  }

  [Symbol.dispose](): void {
    this.#process[Symbol.dispose]();
  }

  #whileStopped<T>(work: (thread: StoppedThread) => T): T {
    const stopped = this.#stopped;
    if (stopped !== null) return this.#process.answering(() => work(stopped));
    InjectedOwner.#warmUp();
    const remains = this.#isTidy ? [] : this.#process.reading(leftBehind);
    return this.#process.whileStopped((thread) => {
      this.#stopped = thread;
      try {
        for (const [fd, link] of remains) if (this.#isStill(fd, link)) closeInOwner(thread, fd);
        this.#isTidy = true;
        return work(thread);
      } finally {
        this.#stopped = null;
      }
    });
  }

  static #warmedUp = false;

  /** Makes once, with a stand-in, each call whose first time is slow, so that no owner waits for that. */
  static #warmUp(): void {
    if (InjectedOwner.#warmedUp) return;
    InjectedOwner.#warmedUp = true;
    withStandIn((pid) => {
      using standIn = InjectedOwner.open(pid, {patience: 100});
      for (let round = 0; round < WARM_UPS; round += 1) standIn.#warmUpCalls();
    });
  }

  /** The kernel refuses what is for VMs. */
  #warmUpCalls(): void {
    this.together(() => {
      const fd = this.giveDescriptor(this.#process.pidfd);
      for (const request of [
        () => this.createDevice(fd, 0),
        () => {
          this.setDeviceAttr(fd, 0, 0, fd);
        },
      ]) {
        try {
          request();
        } catch (error) {
          if (!(error instanceof SyscallError)) throw error;
        }
      }
      this.closeDescriptor(fd);
    });
  }

  /** The owner may have closed it since it was found, and given its number to a file of its own. */
  #isStill(fd: number, link: string): boolean {
    try {
      return this.#process.process.descriptor(fd) === link;
    } catch (error) {
      if (error instanceof SyscallError && error.code === 'ENOENT') return false;
      throw error;
    }
  }
}

/** @param data - what the request points to, which the owner finds at `address` */
const ioctl = (
  thread: StoppedThread,
  fd: number,
  request: IoctlName,
  data: (address: bigint) => Buffer,
): void => {
  thread.call({name: 'ioctl', label: `ioctl(${request})`, args: (at) => [fd, IOCTLS[request], at], data});
};

/** The first call is by far the slowest; beyond these it gets little faster. */
const WARM_UPS = 2;
