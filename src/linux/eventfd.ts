import {readSync} from 'node:fs';
import {Descriptor} from './descriptor.js';
import {eventfd} from './libc.js';

/** A counter that the kernel adds to (eventfd(2)). */
export class EventFd extends Descriptor {
  /** @throws {@link SyscallError} */
  static create(): EventFd {
    return new EventFd(eventfd());
  }

  /** What was added since the last time. */
  take(): bigint {
    const bytes = Buffer.alloc(8);
    try {
      readSync(this.fd, bytes);
    } catch (error) {
      // it does not block, and 0 cannot be read
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
    }
    return bytes.readBigUInt64LE();
  }
}
