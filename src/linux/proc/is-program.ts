import {readFileSync} from 'node:fs';

/**
 * Whether there is still a process of programs in a folder of procfs, as opposed to one that has ended and to a kernel
 * thread. Neither of those has descriptors, and the kernel refuses to show that they have none.
 */
export const isProgram = (folder: string): boolean => {
  try {
    const text = readFileSync(`${folder}/stat`, 'latin1');
    const [state, , , , , , flags] = text.slice(text.lastIndexOf(')') + 2).split(' ', 7);
    return state !== 'Z' && state !== 'X' && (Number(flags) & PF_KTHREAD) === 0;
  } catch {
    return false;
  }
};

/** include/linux/sched.h: field 9 of /proc/PID/stat, which everybody may read. */
const PF_KTHREAD = 0x0020_0000;
