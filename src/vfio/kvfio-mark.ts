import {readFileSync} from 'node:fs';

/**
 * Marks a file of VFIO as one that kvfio opened. O_APPEND means nothing to VFIO, no VMM sets it, and it belongs to the
 * open file: all its descriptors show it, in whichever process they are.
 */
export const KVFIO_MARK = 0o2000;

/** Whether a process has an open file from kvfio; null when that cannot be seen. */
export const openedByKvfio = (pid: number, fd: number): boolean | null => {
  try {
    const [, flags] = /^flags:\s+([0-7]+)$/m.exec(readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8')) ?? [];
    return flags === undefined ? null : (parseInt(flags, 8) & KVFIO_MARK) !== 0;
  } catch {
    return null;
  }
};
