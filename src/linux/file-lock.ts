import {constants, ftruncateSync, openSync, readFileSync, writeSync} from 'node:fs';
import {Descriptor} from './descriptor.js';
import {SyscallError} from './errno.js';
import {lockedIfFree} from './flock.js';

/**
 * A lock that everybody who asks for it respects (flock(2)). It belongs to the open file: a child process that inherits
 * the descriptor keeps it for as long as it lives, and the kernel drops it with the last one, however that ends.
 */
export class FileLock extends Descriptor {
  /**
   * Takes the lock if it is free. Its file is made where it is missing, names the process, and is never removed:
   * two processes could then lock two files of one name.
   *
   * @returns null when somebody has it
   * @throws {@link SyscallError} when the file cannot be opened
   */
  static tryTake(path: string): FileLock | null {
    const lock = lockedIfFree(new FileLock(openLock(path), path));
    try {
      if (lock !== null) {
        ftruncateSync(lock.fd);
        writeSync(lock.fd, `${process.pid}\n`, 0);
      }
      return lock;
    } catch (error) {
      lock?.[Symbol.dispose]();
      throw error;
    }
  }
}

/** The process that took a lock last, which may have ended; null when the file does not tell. */
export const lockedBy = (path: string): number | null => {
  try {
    const text = readFileSync(path, 'utf8').trim();
    return /^[1-9]\d{0,8}$/.test(text) ? Number(text) : null;
  } catch {
    return null;
  }
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
