import type {Descriptor} from '../descriptor.js';
import {SyscallError} from '../errno.js';
import {syscall} from '../libc.js';
import {PinnedMemory} from '../memory.js';

const F_OFD_GETLK = 36;
const F_OFD_SETLK = 37;
const F_RDLCK = 0;
const F_WRLCK = 1;
const F_UNLCK = 2;
const SEEK_SET = 0;

/**
 * Read-locks one byte of an open file. The lock belongs to the open file and not to a process, and read locks exclude no
 * other read lock.
 *
 * @param position - from 0 to 2^62; bytes beyond the end can be locked, too
 * @throws {@link SyscallError}
 */
export const lockByte = ({fd}: Descriptor, position: bigint): void => {
  setLock(fd, F_RDLCK, position, 1n);
};

/**
 * Locks one byte of an open file against all other locks of that byte, if there is none. The file is open for writing.
 *
 * @returns whether it is locked now
 * @throws {@link SyscallError}
 */
export const lockByteAlone = ({fd}: Descriptor, position: bigint): boolean => {
  try {
    setLock(fd, F_WRLCK, position, 1n);
    return true;
  } catch (error) {
    if (error instanceof SyscallError && (error.code === 'EAGAIN' || error.code === 'EACCES')) return false;
    throw error;
  }
};

/**
 * Whether somebody else has a lock on one byte of an open file. Nobody sees that this was asked.
 *
 * @throws {@link SyscallError}
 */
export const isByteLocked = ({fd}: Descriptor, position: bigint): boolean =>
  lockCommand(fd, F_OFD_GETLK, {type: F_WRLCK, start: position, length: 1n}).readInt16LE(0) !== F_UNLCK;

/**
 * Undoes {@link lockByte}, and leaves the locks of all other bytes.
 *
 * @throws {@link SyscallError}
 */
export const unlockByte = ({fd}: Descriptor, position: bigint): void => {
  setLock(fd, F_UNLCK, position, 1n);
};

const setLock = (fd: number, type: number, start: bigint, length: bigint): void => {
  lockCommand(fd, F_OFD_SETLK, {type, start, length});
};

/** @returns the `struct flock`, in which the kernel answers */
const lockCommand = (
  fd: number,
  command: number,
  {type, start, length}: {type: number; start: bigint; length: bigint},
): Buffer => {
  // s16 type, s16 whence, s64 start, s64 len, s32 pid, which must be 0
  const {bytes, address} = new PinnedMemory(32);
  bytes.writeInt16LE(type, 0);
  bytes.writeInt16LE(SEEK_SET, 2);
  bytes.writeBigInt64LE(start, 8);
  bytes.writeBigInt64LE(length, 16);
  syscall('fcntl', [fd, command, address]);
  return bytes;
};
