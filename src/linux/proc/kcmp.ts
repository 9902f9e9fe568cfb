import {syscall} from '../libc.js';

// include/uapi/linux/kcmp.h
const KCMP_FILE = 0;
const KCMP_FILES = 2;

/**
 * Whether two descriptors, of whichever processes, are of one open file: dup()ed, inherited or passed on.
 *
 * @throws {@link SyscallError}; EBADF when one is not open, EPERM when kvfio may not trace one of the processes, ENOSYS
 * without CONFIG_KCMP
 */
export const sameFile = (pid: number, fd: number, otherPid: number, otherFd: number): boolean =>
  syscall('kcmp', [pid, otherPid, KCMP_FILE, fd, otherFd]) === 0;

/**
 * Orders two descriptors by the open files that they are of: 0 for the same one, and otherwise an order that holds until
 * the next boot and shows nothing else.
 *
 * @throws as {@link sameFile}
 */
export const compareFiles = (pid: number, fd: number, otherPid: number, otherFd: number): -1 | 0 | 1 => {
  const answer = syscall('kcmp', [pid, otherPid, KCMP_FILE, fd, otherFd]);
  return answer === 0 ? 0 : answer === 1 ? -1 : 1;
};

/** Whether two threads have one table of descriptors. They do unless one called unshare(CLONE_FILES). */
export const shareDescriptors = (tid: number, otherTid: number): boolean =>
  syscall('kcmp', [tid, otherTid, KCMP_FILES]) === 0;
