import {constants, fstatSync, openSync} from 'node:fs';
import {constants as os} from 'node:os';
import {Descriptor, checked} from '../descriptor.js';
import {SyscallError} from '../errno.js';
import {lockedIfFree} from './flock.js';

/**
 * A lock that everybody who asks for it respects (flock(2)). It belongs to the open file: a child process that inherits
 * the descriptor keeps it for as long as it lives, and the kernel drops it with the last one, however that ends.
 */
export class FileLock extends Descriptor {
  /**
   * Takes the lock if it is free. Its file is made where it is missing, and never removed: two processes could then lock two
   * files of one name.
   *
   * @returns null when somebody has it
   * @throws {@link SyscallError} when the file cannot be opened; EPERM when others than its user and root may open it, and so
   * keep everybody from the lock
   */
  static tryTake(path: string): FileLock | null {
    return lockedIfFree(checked(new FileLock(openLock(path), path), checkPrivate));
  }
}

const checkPrivate = ({fd, path}: Descriptor): void => {
  const {uid, mode} = fstatSync(fd);
  const isPrivate = (uid === 0 || uid === process.geteuid?.()) && (mode & 0o077) === 0;
  if (!isPrivate) throw new SyscallError('open', os.errno.EPERM, path);
};

const openLock = (path: string): number => {
  try {
    return openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  } catch (error) {
    const {errno} = error as NodeJS.ErrnoException;
    if (errno === undefined) throw error;
    throw new SyscallError('open', -errno, path);
  }
};
