import {syscall} from './libc.js';
import {PinnedMemory} from './memory.js';

const RLIMIT_STACK = 3;

/**
 * Does something with kvfio's own limit for stacks as high as it may raise it, and puts it back. The limit of whoever
 * touches memory below a stack decides whether the stack grows, also where that is another process's
 * (acct_stack_growth in mm/mmap.c or mm/vma.c).
 *
 * @throws {@link SyscallError}
 */
export const withHighestStackLimit = <T>(work: () => T): T => {
  // struct rlimit: u64 rlim_cur, u64 rlim_max
  const {words, at} = new PinnedMemory(16);
  syscall('prlimit64', [0, RLIMIT_STACK, 0, at]);
  const soft = words[0] ?? 0n;
  words[0] = words[1] ?? 0n;
  syscall('prlimit64', [0, RLIMIT_STACK, at, 0]);
  try {
    return work();
  } finally {
    words[0] = soft;
    syscall('prlimit64', [0, RLIMIT_STACK, at, 0]);
  }
};
