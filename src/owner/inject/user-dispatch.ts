import {SyscallError} from '../../linux/errno.js';
import type {Tracee} from '../../linux/trace/ptrace.js';

/**
 * Whether a stopped thread uses syscall user dispatch: the kernel then sends it SIGSYS in place of a call from code
 * that it has not named, which the calls that it is to make are (syscall_user_dispatch in
 * kernel/entry/syscall_user_dispatch.c). Before Linux 6.4 nothing shows it, and kvfio takes the thread for one that does not.
 */
export const usesUserDispatch = (thread: Tracee): boolean => {
  try {
    return thread.dispatchesSyscalls();
  } catch (error) {
    if (error instanceof SyscallError && (error.code === 'EIO' || error.code === 'EINVAL')) return false;
    throw error;
  }
};
