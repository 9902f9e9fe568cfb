import {fstatSync, readFileSync, readlinkSync} from 'node:fs';
import type {Descriptor} from '../linux/descriptor.js';
import type {FileNode} from './file-node.js';

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

/**
 * Whether a descriptor is of a file that kvfio opened from this node. A number may have become another file's since it
 * was looked at, so that is asked of what was taken by it.
 */
export const isMarkedFileOf = ({fd}: Descriptor, node: FileNode): boolean => {
  const stats = fstatSync(fd);
  if (!stats.isCharacterDevice() || openedByKvfio(process.pid, fd) !== true) return false;
  // a node that is gone has no number
  return node.device === 0
    ? readlinkSync(`/proc/self/fd/${fd}`) === `${node.path} (deleted)`
    : stats.rdev === node.device;
};
