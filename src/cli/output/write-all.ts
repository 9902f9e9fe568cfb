import {fstatSync, writeSync} from 'node:fs';

/**
 * Makes a stream to a file write each answer wholly, or fail.
 *
 * Node makes one write(2) of a chunk for a file (lib/internal/fs/sync_write_stream.js) and passes over that the kernel took
 * only a part of it, as it does on a file system that is almost full: the rest would be lost, with exit code 0.
 */
export const writeAll = (stream: NodeJS.WriteStream & {fd: number}): void => {
  const {fd} = stream;
  if (!isFile(fd)) return;
  stream._write = (chunk: Buffer | string, encoding, callback): void => {
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk, encoding) : chunk;
    try {
      for (let written = 0; written < bytes.length;) written += writeSync(fd, bytes, written);
    } catch (error) {
      callback(error as Error);
      return;
    }
    callback();
  };
};

const isFile = (fd: number): boolean => {
  try {
    return fstatSync(fd).isFile();
  } catch {
    // closed: the first write says so
    return false;
  }
};
