import {setTimeout as sleep} from 'node:timers/promises';
import {Failure} from '../../failure.js';
import {Deadline} from '../../linux/deadline.js';
import type {FileLock} from '../../linux/lock/file-lock.js';
import {whoLocked, type LockHolder} from '../../linux/lock/process-lock.js';
import {Journal} from './journal.js';
import {noteIfLong} from './note-if-long.js';
import type {BindSetting} from './setting.js';
import type {BindMachine} from './transaction.js';
import {tryLock} from './try-lock.js';

/**
 * Does work while nobody else may change the drivers of these devices.
 *
 * @param options.timeout seconds to wait for somebody who does, and for each write
 * @param options.onNote receives one line on what takes long
 * @throws {@link Failure}: permission, or timeout when somebody keeps at it
 */
export const whileLocked = async <T>(
  setting: BindSetting,
  addresses: readonly string[],
  {timeout: seconds, onNote}: {timeout: number; onNote: (line: string) => void},
  work: (machine: BindMachine) => Promise<T>,
): Promise<T> => {
  requireRoot(setting);
  const {tree, nodes, observe} = setting;
  const journal = new Journal(setting.folder, {observe});
  journal.prepare();
  const deadline = Deadline.after(seconds * 1000);
  const locks: FileLock[] = [];
  try {
    // in one order for all, so that two who want the same devices do not wait for each other
    for (const address of [...new Set(addresses)].sort()) {
      const line = `waiting for another process to let go of ${address}`;
      const path = journal.lockPath(address);
      locks.push(await noteIfLong(onNote, line, () => take(address, path, deadline)));
    }
    const writer = setting.writer(seconds, locks);
    try {
      return await work({tree, nodes, observe, journal, writer, note: onNote});
    } finally {
      await writer[Symbol.asyncDispose]?.();
    }
  } finally {
    for (const lock of locks) lock[Symbol.dispose]();
  }
};

const take = async (address: string, path: string, deadline: Deadline): Promise<FileLock> => {
  for (;;) {
    const lock = tryLock(path);
    if (lock instanceof Failure) throw lock;
    if (lock !== null) return lock;
    if (deadline.passed) throw busy(address, whoLocked(path));
    await sleep(Math.min(50, deadline.remaining(50)));
  }
};

const busy = (address: string, holder: LockHolder | null): Failure =>
  new Failure({
    code: 'DEVICE_BUSY',
    kind: 'timeout',
    what: `Another process is changing the driver of ${address}.`,
    why:
      holder?.comm === ''
        ? 'The kernel is still busy with a write of a kvfio that has ended.'
        : `${holder === null ? 'Another process' : `Process ${holder.pid} (${holder.comm})`} has its lock, which a kvfio takes while it works with the device.`,
    hint: 'Wait until it is done, longer with --timeout; dmesg may say what the kernel waits for.',
  });

/** Only root may write these files, whatever their modes say of a user namespace. */
const requireRoot = ({tree}: BindSetting): void => {
  if (tree.origin.kind !== 'host' || process.geteuid?.() === 0) return;
  throw new Failure({
    code: 'NOT_ROOT',
    kind: 'permission',
    what: 'You may not change drivers.',
    why: 'Only root may write to driver_override, bind and unbind of a device, and to /run/kvfio.',
    hint: 'Run kvfio as root; --dry-run works without.',
  });
};
