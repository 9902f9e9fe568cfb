import {closeSync, constants, openSync, readFileSync, readdirSync, readlinkSync} from 'node:fs';

export interface DescriptorSearch {
  /** Processes that have such a descriptor, by ascending id. */
  pids: number[];
  /** How many processes could not be looked into. Kernel threads, which have no descriptors, do not count. */
  hidden: number;
  /** How many were. */
  looked: number;
}

/**
 * Which processes have a descriptor whose link in /proc/PID/fd reads `wanted`. Processes that end meanwhile are passed
 * over.
 *
 * Nearly all of the time is spent in the kernel, which resolves a path for each descriptor. Standing in the folder
 * leaves one component of five to resolve, so the process's own working directory is elsewhere during the search.
 *
 * @param proc - where procfs is mounted
 */
export const findDescriptors = (wanted: string, proc = '/proc'): DescriptorSearch => {
  const search: DescriptorSearch = {pids: [], hidden: 0, looked: 0};
  const limit = Error.stackTraceLimit;
  const home = openSync('.', constants.O_RDONLY | constants.O_DIRECTORY);
  // an unprivileged search is refused thousands of times, and nobody reads where from
  Error.stackTraceLimit = 0;
  try {
    for (const name of readdirSync(proc)) {
      const pid = Number(name);
      if (Number.isInteger(pid)) lookInto(search, {pid, wanted, folder: `${proc}/${name}`});
    }
  } finally {
    Error.stackTraceLimit = limit;
    // also where the folder's name is gone
    process.chdir(`/proc/self/fd/${home}`);
    closeSync(home);
  }
  search.pids.sort((a, b) => a - b);
  return search;
};

const lookInto = (
  search: DescriptorSearch,
  {pid, wanted, folder}: {pid: number; wanted: string; folder: string},
): void => {
  let names: string[];
  try {
    process.chdir(`${folder}/fd`);
    names = readdirSync('.');
  } catch (error) {
    if (isRefusal(error) && isThere(folder)) search.hidden += 1;
    return;
  }
  for (const name of names) {
    try {
      if (readlinkSync(name) !== wanted) continue;
      search.pids.push(pid);
      break;
    } catch (error) {
      // proc_pid_readlink() in fs/proc/base.c says EACCES also of a process that is gone
      if (!isRefusal(error)) continue;
      if (isThere(folder)) search.hidden += 1;
      return;
    }
  }
  search.looked += 1;
};

const isRefusal = (error: unknown): boolean => {
  const {code} = error as NodeJS.ErrnoException;
  return code === 'EACCES' || code === 'EPERM';
};

/** include/linux/sched.h: field 9 of /proc/PID/stat, which everybody may read. */
const PF_KTHREAD = 0x0020_0000;

/** Whether there is still a process of programs, as opposed to one that has ended and to a kernel thread. */
const isThere = (folder: string): boolean => {
  try {
    const text = readFileSync(`${folder}/stat`, 'latin1');
    const [state, , , , , , flags] = text.slice(text.lastIndexOf(')') + 2).split(' ', 7);
    return state !== 'Z' && state !== 'X' && (Number(flags) & PF_KTHREAD) === 0;
  } catch {
    return false;
  }
};
