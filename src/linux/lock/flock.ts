import type {Descriptor} from '../descriptor.js';
import {SyscallError} from '../errno.js';
import {retryInterrupted, syscall} from '../libc.js';

const LOCK_EX = 2;
const LOCK_NB = 4;

/**
 * Takes the exclusive flock(2) of an open file if it is free, and closes the file if not.
 *
 * @returns null when somebody has it
 * @throws {@link SyscallError}
 */
export const lockedIfFree = <T extends Descriptor>(file: T): T | null => {
  try {
    retryInterrupted(() => syscall('flock', [file.fd, LOCK_EX | LOCK_NB]));
    return file;
  } catch (error) {
    file[Symbol.dispose]();
    if (error instanceof SyscallError && error.code === 'EAGAIN') return null;
    throw error;
  }
};
