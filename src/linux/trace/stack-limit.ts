import {SyscallError} from '../errno.js';
import {syscall} from '../libc.js';
import {PinnedMemory} from '../memory.js';

const RLIMIT_STACK = 3;
const RLIM_INFINITY = (1n << 64n) - 1n;

/**
 * Does something with kvfio's own limit for stacks as high as it may raise it, and puts it back: to none with
 * CAP_SYS_RESOURCE, and to the hard limit otherwise. The limit of whoever
 * touches memory below a stack decides whether the stack grows, even if that is another process's
 * (acct_stack_growth in mm/mmap.c or mm/vma.c).
 *
 * @param work - is given that limit, in bytes
 * @throws {@link SyscallError}
 */
export const withHighestStackLimit = <T>(work: (limit: bigint) => T): T => {
  // struct rlimit: u64 rlim_cur, u64 rlim_max
  const {words, at} = new PinnedMemory(16);
  syscall('prlimit64', [0, RLIMIT_STACK, 0, at]);
  const [soft = 0n, hard = 0n] = words;
  const set = (limit: bigint, most: bigint): void => {
    words.set([limit, most]);
    syscall('prlimit64', [0, RLIMIT_STACK, at, 0]);
  };
  const raise = (): bigint => {
    try {
      set(RLIM_INFINITY, RLIM_INFINITY);
      return RLIM_INFINITY;
    } catch (error) {
      if (!(error instanceof SyscallError && error.code === 'EPERM')) throw error;
      set(hard, hard);
      return hard;
    }
  };
  const limit = raise();
  try {
    return work(limit);
  } finally {
    set(soft, hard);
  }
};
