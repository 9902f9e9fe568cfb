import {readdirSync, readlinkSync} from 'node:fs';
import {isProgram} from './is-program.js';
import {openHome} from '../working-folder.js';

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
 * leaves one component of five to resolve, so the process's own working directory is elsewhere during the search,
 * unless it could not come back.
 *
 * @param proc - where procfs is mounted
 */
export const findDescriptors = (wanted: string, proc = '/proc'): DescriptorSearch => {
  const search: DescriptorSearch = {pids: [], hidden: 0, looked: 0};
  const limit = Error.stackTraceLimit;
  using home = openHome();
  // an unprivileged search is refused thousands of times, and nobody reads where from
  Error.stackTraceLimit = 0;
  try {
    for (const name of readdirSync(proc)) {
      const pid = Number(name);
      if (Number.isInteger(pid))
        lookInto(search, {pid, wanted, folder: `${proc}/${name}`, walks: home !== null});
    }
  } finally {
    Error.stackTraceLimit = limit;
    home?.comeBack();
  }
  search.pids.sort((a, b) => a - b);
  return search;
};

const lookInto = (
  search: DescriptorSearch,
  {pid, wanted, folder, walks}: {pid: number; wanted: string; folder: string; walks: boolean},
): void => {
  const place = walks ? '' : `${folder}/fd/`;
  let names: string[];
  try {
    if (walks) process.chdir(`${folder}/fd`);
    names = readdirSync(walks ? '.' : place);
  } catch (error) {
    if (isRefusal(error) && isProgram(folder)) search.hidden += 1;
    return;
  }
  for (const name of names) {
    try {
      if (readlinkSync(place + name) !== wanted) continue;
      search.pids.push(pid);
      break;
    } catch (error) {
      // proc_pid_readlink() in fs/proc/base.c says EACCES also of a process that is gone
      if (!isRefusal(error)) continue;
      if (isProgram(folder)) search.hidden += 1;
      return;
    }
  }
  search.looked += 1;
};

const isRefusal = (error: unknown): boolean => {
  const {code} = error as NodeJS.ErrnoException;
  return code === 'EACCES' || code === 'EPERM';
};
