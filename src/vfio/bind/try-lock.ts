import {Failure} from '../../failure.js';
import {SyscallError} from '../../linux/errno.js';
import {FileLock} from '../../linux/lock/file-lock.js';

/** Takes a lock; null when somebody has it, and a {@link Failure} when its file cannot be opened. */
export const tryLock = (path: string): FileLock | Failure | null => {
  try {
    return FileLock.tryTake(path);
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    return new Failure({
      code: 'NOT_LOCKED',
      kind: 'kernelRefused',
      what: `${path} cannot be locked.`,
      why: `The kernel answered ${error.code}.`,
      hint: 'See that /run is a file system that can be written to.',
      errno: error.code,
      cause: error,
    });
  }
};
