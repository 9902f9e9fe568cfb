import {closeSync, fstatSync, constants, openSync, readSync} from 'node:fs';

/** The first bytes of a regular file; null for what is none, is not there or may not be read. It never waits, as for a pipe. */
export const beginningOf = (path: string, bytes: number): Buffer | null => {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch {
    return null;
  }
  try {
    if (!fstatSync(fd).isFile()) return null;
    const buffer = Buffer.alloc(bytes);
    return buffer.subarray(0, readSync(fd, buffer, 0, bytes, 0));
  } catch {
    return null;
  } finally {
    closeSync(fd);
  }
};
