import {setTimeout as sleep} from 'node:timers/promises';
import {Deadline} from '../linux/deadline.js';
import {SyscallError} from '../linux/errno.js';
import {UeventSocket, type Uevent} from '../linux/socket/uevent-socket.js';

/**
 * Whether KVM reports that a VM is made or has ended (kvm_uevent_notify_change() in virt/kvm/kvm_main.c, since Linux 4.13). The
 * creator has no descriptor of a new one yet.
 */
export const isVmEvent = ({path, values}: Uevent): boolean =>
  path === '/devices/virtual/misc/kvm' && ['create', 'destroy'].includes(values.get('EVENT') ?? '');

/** Waits for VMs to come and go, and no longer than an interval; where the kernel reports nothing, for all of it. */
export class VmEvents implements Disposable {
  readonly #socket: UeventSocket | null;

  constructor() {
    try {
      this.#socket = UeventSocket.open();
    } catch (error) {
      if (!(error instanceof SyscallError)) throw error;
      this.#socket = null;
    }
  }

  /** @param interval - milliseconds */
  async next(interval: number, signal: AbortSignal): Promise<void> {
    const socket = this.#socket;
    if (socket === null) {
      await sleep(interval, undefined, {signal});
      return;
    }
    const deadline = Deadline.after(interval);
    while (!deadline.passed) {
      const {uevents, lost} = socket.receive();
      if (lost || uevents.some(isVmEvent)) {
        await sleep(SETTLING, undefined, {signal});
        return;
      }
      await socket.wait(deadline, signal);
    }
  }

  [Symbol.dispose](): void {
    this.#socket?.[Symbol.dispose]();
  }
}

/** Milliseconds in which the creator gets its descriptor, and other messages of the same moment come. */
const SETTLING = 50;
