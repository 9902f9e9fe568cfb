import {readFileSync, statSync} from 'node:fs';
import {Descriptor} from './descriptor.js';
import {lockedIfFree} from './flock.js';
import {O_RDONLY, open} from './libc.js';

/**
 * A lock on a process that all kvfios respect: flock(2) on its folder in /proc. Everybody may open that, it is one inode
 * for as long as somebody has it open, and never that of a later process with the same number.
 *
 * It is one lock for those only who see the same mount of procfs.
 */
export class ProcessLock extends Descriptor {
  /**
   * Takes the lock if it is free. It goes with the descriptor, however kvfio ends.
   *
   * @returns null when somebody has it
   * @throws {@link SyscallError}; ENOENT when there is no such process, or when it is hidden
   */
  static tryTake(pid: number): ProcessLock | null {
    const path = `/proc/${pid}`;
    return lockedIfFree(new ProcessLock(open(path, O_RDONLY), path));
  }
}

/** Who has locked a process, as /proc/locks tells; null when that does not. */
export const whoLocked = (pid: number): number | null => {
  try {
    return holderOf(statSync(`/proc/${pid}`).ino, readFileSync('/proc/locks', 'utf8'));
  } catch {
    return null;
  }
};

/** The process that has the exclusive flock(2) of an inode, by the text of /proc/locks (proc(5)). */
export const holderOf = (inode: number, text: string): number | null => {
  const line = /^\d+: FLOCK +ADVISORY +WRITE (\d+) [0-9a-f]+:[0-9a-f]+:(\d+) /gm;
  for (const [, pid, locked] of text.matchAll(line)) if (Number(locked) === inode) return Number(pid);
  return null;
};
