import {readFileSync, statSync} from 'node:fs';
import {Descriptor} from '../descriptor.js';
import {lockedIfFree} from './flock.js';
import {O_RDONLY, open} from '../libc.js';
import {commOf} from '../proc/process.js';

/**
 * A lock on a process that all kvfios respect: flock(2) on its folder of descriptors in /proc. Only root and the process's
 * own user, who could stop or kill it as well, may open that (proc_fd_permission in fs/proc/fd.c, mode 0500). It is one
 * inode for as long as somebody has it open, and never that of a later process with the same number.
 *
 * It is one lock for those only who see the same mount of procfs.
 */
export class ProcessLock extends Descriptor {
  /**
   * Takes the lock if it is free. It goes with the descriptor, however kvfio ends.
   *
   * @returns null when somebody has it
   * @throws {@link SyscallError}; ENOENT when there is no such process, or when it is hidden; EACCES
   */
  static tryTake(pid: number): ProcessLock | null {
    const path = ProcessLock.pathOf(pid);
    return lockedIfFree(new ProcessLock(open(path, O_RDONLY), path));
  }

  static pathOf(pid: number): string {
    return `/proc/${pid}/fd`;
  }
}

/** A process that has locked a file. */
export interface LockHolder {
  pid: number;
  /** Its name, which it chose; empty when it has ended, and a process that inherited the file keeps the lock. */
  comm: string;
}

/** The process that has the exclusive flock(2) of a file, as /proc/locks shows; null when it shows none. */
export const whoLocked = (path: string): LockHolder | null => {
  try {
    const {dev, ino} = statSync(path, {bigint: true});
    const pid = holderOf({dev, ino}, readFileSync('/proc/locks', 'utf8'));
    return pid === null ? null : {pid, comm: commOf(pid)};
  } catch {
    return null;
  }
};

/** The process that has the exclusive flock(2) of an inode, by the text of /proc/locks (lock_get_status in fs/locks.c). */
export const holderOf = ({dev, ino}: {dev: bigint; ino: bigint}, text: string): number | null => {
  const hex = (part: bigint): string => part.toString(16).padStart(2, '0');
  const file = `${hex((dev >> 8n) & 0xfffn)}:${hex((dev & 0xffn) | ((dev >> 12n) & 0xfff00n))}:${ino}`;
  const line = /^\d+: FLOCK +ADVISORY +WRITE ([1-9]\d*) (\S+) /gm;
  for (const [, pid, locked] of text.matchAll(line)) if (locked === file) return Number(pid);
  return null;
};
