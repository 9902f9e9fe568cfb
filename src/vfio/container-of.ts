import {SyscallError} from '../linux/errno.js';
import {Pidfd} from '../linux/proc/pidfd.js';
import {VfioGroup} from './ioctls.js';
import type {Container} from './group-file.js';

/** Whether a group that a process has open is in a container, as far as kvfio may see that. */
export const containerOf = (pid: number, fd: number): Container | 'unknown' => {
  try {
    using pidfd = Pidfd.open(pid);
    using file = pidfd.getfd(fd);
    // borrows the descriptor, which `file` closes
    return new VfioGroup(file.fd).status().containerSet ? 'type1' : 'none';
  } catch (error) {
    if (error instanceof SyscallError) return 'unknown';
    throw error;
  }
};
