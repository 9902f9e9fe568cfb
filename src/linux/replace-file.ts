import {
  closeSync,
  fchmodSync,
  fsyncSync,
  linkSync,
  lstatSync,
  openSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import {dirname, join} from 'node:path';
import {Failure} from '../failure.js';

/**
 * Writes a whole file or nothing: the bytes go to a temporary neighbour, which then takes the file's name.
 *
 * @param options.force replace a regular file or a link that exists; devices and pipes are never replaced
 * @param options.mode permissions of the file, whatever the umask; without, 0644 less the umask
 * @throws Failure when the file exists, or its folder is missing or may not be written to
 */
export const replaceFile = (
  path: string,
  bytes: Buffer,
  {force, mode}: {force: boolean; mode?: number},
): void => {
  const temporary = join(dirname(path), `.${process.pid}.kvfio-tmp`);
  try {
    // a process of the same number may have been killed while it wrote
    rmSync(temporary, {force: true});
    const fd = openSync(temporary, 'wx', 0o644);
    try {
      for (let written = 0; written < bytes.length;) written += writeSync(fd, bytes, written);
      if (mode !== undefined) fchmodSync(fd, mode);
      fsyncSync(fd);
      // link() refuses a name that exists, at once and whoever made it; rename() replaces it
      if (force && !isSpecial(path)) renameSync(temporary, path);
      else linkSync(temporary, path);
    } finally {
      closeSync(fd);
      rmSync(temporary, {force: true});
    }
  } catch (error) {
    throw notWritten(path, error);
  }
};

/**
 * Whether {@link replaceFile} can be expected to succeed: makes and removes the temporary neighbour.
 *
 * @throws Failure as that would
 */
export const checkReplaceable = (path: string, {force}: {force: boolean}): void => {
  const temporary = join(dirname(path), `.${process.pid}.kvfio-tmp`);
  try {
    const stats = lstatSync(path, {throwIfNoEntry: false});
    if (stats?.isDirectory() === true) throw Object.assign(new Error('is a folder'), {code: 'EISDIR'});
    if (stats !== undefined && (!force || isSpecial(path)))
      throw Object.assign(new Error('exists'), {code: 'EEXIST'});
    rmSync(temporary, {force: true});
    closeSync(openSync(temporary, 'wx', 0o644));
    rmSync(temporary, {force: true});
  } catch (error) {
    throw notWritten(path, error);
  }
};

const notWritten = (path: string, error: unknown): Failure => {
  const errno = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
  const reason = errno === 'EEXIST' && isSpecial(path) ? SPECIAL : errno;
  const [kind, why] = REASONS[reason] ?? (['kernelRefused', `The kernel answered ${errno}.`] as const);
  return new Failure({
    code: 'NOT_WRITTEN',
    kind,
    what: `${path} was not written.`,
    why,
    hint: HINTS[reason] ?? 'Name a file in a folder that exists and that you may write to.',
    errno,
    cause: error,
  });
};

/** rename() would put a regular file in the place of /dev/null. */
const isSpecial = (path: string): boolean => {
  const stats = lstatSync(path, {throwIfNoEntry: false});
  return stats !== undefined && !stats.isFile() && !stats.isSymbolicLink() && !stats.isDirectory();
};

const SPECIAL = 'EEXIST of a special file';

const HINTS: Record<string, string> = {
  EEXIST: 'Name another file, or replace this one with --force.',
  [SPECIAL]: 'Name another file.',
};

const REASONS: Record<string, readonly [Failure['kind'], string]> = {
  ENOENT: ['notFound', 'Its folder does not exist.'],
  ENOTDIR: ['notFound', 'A part of its path is not a folder.'],
  EEXIST: ['refused', 'It exists already.'],
  [SPECIAL]: ['refused', 'It exists and is not a regular file: kvfio never replaces such a file.'],
  EISDIR: ['usage', 'It is a folder.'],
  EACCES: ['permission', 'Its folder may not be written to.'],
  EROFS: ['permission', 'Its file system is read-only.'],
  ENOSPC: ['kernelRefused', 'The file system is full.'],
};
