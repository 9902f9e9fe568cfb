import {chownSync, existsSync, statSync} from 'node:fs';
import {setTimeout as sleep} from 'node:timers/promises';
import type {Deadline} from '../../linux/deadline.js';
import {SyscallError} from '../../linux/errno.js';

/** The owner of a device node, and which device it is of. */
export interface DeviceNodeOwner {
  /** Device number of the node (st_rdev of stat(2)). */
  device: number;
  uid: number;
}

/** The owners of nodes. A machine that is only a tree of files has no nodes. */
export interface Nodes {
  /** Null when there is no such character device. */
  owner: (path: string) => DeviceNodeOwner | null;
  /** Throws a {@link SyscallError}. */
  give: (path: string, uid: number) => void;
  /** Waits until udev has dealt with the events so far: its rules set owners, too. */
  settled: (deadline: Deadline) => Promise<void>;
}

/** The nodes of this machine. */
export const hostNodes: Nodes = {
  owner: (path) => {
    const stats = statSync(path, {throwIfNoEntry: false});
    return stats?.isCharacterDevice() === true ? {device: stats.rdev, uid: stats.uid} : null;
  },
  give: (path, uid) => {
    try {
      chownSync(path, uid, statSync(path).gid);
    } catch (error) {
      const {errno} = error as NodeJS.ErrnoException;
      if (errno === undefined) throw error;
      throw new SyscallError('chown', -errno, path);
    }
  },
  settled: async (deadline) => {
    // the file is there while udev has work (systemd, udev_queue_is_empty)
    while (existsSync('/run/udev/queue') && !deadline.passed) await sleep(20);
  },
};
