import type {Descriptor} from './descriptor.js';
import {syscall} from './libc.js';
import {PinnedMemory} from './memory.js';

const F_OFD_SETLK = 37;
const F_RDLCK = 0;
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
 * Undoes {@link lockByte}, and leaves the locks of all other bytes.
 *
 * @throws {@link SyscallError}
 */
export const unlockByte = ({fd}: Descriptor, position: bigint): void => {
  setLock(fd, F_UNLCK, position, 1n);
};

const setLock = (fd: number, type: number, start: bigint, length: bigint): void => {
  // struct flock: s16 type, s16 whence, s64 start, s64 len, s32 pid, which must be 0
  const {bytes, address} = new PinnedMemory(32);
  bytes.writeInt16LE(type, 0);
  bytes.writeInt16LE(SEEK_SET, 2);
  bytes.writeBigInt64LE(start, 8);
  bytes.writeBigInt64LE(length, 16);
  syscall('fcntl', [fd, F_OFD_SETLK, address]);
};
