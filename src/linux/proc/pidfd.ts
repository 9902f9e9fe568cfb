import {Descriptor} from '../descriptor.js';
import {retryInterrupted, syscall} from '../libc.js';
import {PinnedMemory} from '../memory.js';

const POLLIN = 1;

/** A process, held by a descriptor: its number cannot pass to another process unnoticed. */
export class Pidfd extends Descriptor {
  readonly pid: number;

  /** @throws {@link SyscallError}; ESRCH when there is no such process, EINVAL when the number is a thread's */
  static open(pid: number): Pidfd {
    return new Pidfd(syscall('pidfd_open', [pid]), pid);
  }

  private constructor(fd: number, pid: number) {
    super(fd);
    this.pid = pid;
  }

  /** Whether the process has exited, the last of its threads included. */
  get exited(): boolean {
    const pollfd = new PinnedMemory(8);
    pollfd.bytes.writeInt32LE(this.fd, 0);
    pollfd.bytes.writeInt16LE(POLLIN, 4);
    return retryInterrupted(() => syscall('ppoll', [pollfd.at, 1, NO_WAIT().at])) > 0;
  }

  /**
   * A descriptor of kvfio's own, close-on-exec, for the open file that the process has under `fd`.
   *
   * @throws {@link SyscallError}; EBADF when it is not open there, EPERM when kvfio may not trace the process, ESRCH when
   * it is exiting
   */
  getfd(fd: number): Descriptor {
    return new Descriptor(syscall('pidfd_getfd', [this.fd, fd]));
  }
}

let zero: PinnedMemory | undefined;
/** A `struct timespec` of zero. */
const NO_WAIT = (): PinnedMemory => (zero ??= new PinnedMemory(16));
