import {join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import {Failure} from '../failure.js';
import type {FileLock} from '../linux/lock/file-lock.js';
import type {LockHolder} from '../linux/lock/process-lock.js';

export interface AloneOptions {
  cache: string;
  signal: AbortSignal | undefined;
  /** Gets one line when another lab is waited for. */
  onNote: (line: string) => void;
  /** Milliseconds that another lab is waited for. */
  patience?: number;
}

/** Does work on the cache folder that only one kvfio may do at a time. */
export const alone = async <T>(options: AloneOptions, work: () => Promise<T>): Promise<T> => {
  const lock = await takeLock(options);
  try {
    return await work();
  } finally {
    lock[Symbol.dispose]();
  }
};

const takeLock = async ({cache, signal, onNote, patience = 900_000}: AloneOptions): Promise<FileLock> => {
  // a lab that has its kernel does not load the library of system calls
  const [{FileLock}, {whoLocked}] = await Promise.all([
    import('../linux/lock/file-lock.js'),
    import('../linux/lock/process-lock.js'),
  ]);
  const path = join(cache, 'lock');
  const deadline = performance.now() + patience;
  for (let waited = false; ; waited = true) {
    const lock = tryTake(FileLock, path);
    if (lock !== null) return lock;
    if (performance.now() > deadline) throw busy(path, whoLocked(path));
    if (!waited) onNote(`waiting for ${nameOf(whoLocked(path))}, which downloads a kernel`);
    await sleep(200);
    signal?.throwIfAborted();
  }
};

const tryTake = (lock: typeof FileLock, path: string): FileLock | null => {
  try {
    return lock.tryTake(path);
  } catch (error) {
    throw cannotLock(path, error);
  }
};

const nameOf = (holder: LockHolder | null): string =>
  holder === null ? 'another lab' : `process ${holder.pid} (${holder.comm})`;

const busy = (path: string, holder: LockHolder | null): Failure =>
  new Failure({
    code: 'LAB_CACHE_BUSY',
    kind: 'timeout',
    what: 'The kernel for the lab was not downloaded.',
    why: `${path} is locked by ${nameOf(holder)} for too long.`,
    hint: 'Run kvfio lab again when that process has ended, or end it.',
  });

const cannotLock = (path: string, error: unknown): Failure => {
  const errno = (error as NodeJS.ErrnoException).code ?? 'EIO';
  return new Failure({
    code: 'LAB_FOLDER',
    kind: 'permission',
    what: `The lab cannot lock ${path}.`,
    why: `The kernel answered ${errno}. Another user may have made the file, or others may open it.`,
    hint: 'Remove it while no lab downloads, or name another folder in XDG_CACHE_HOME.',
    errno,
    cause: error,
  });
};
