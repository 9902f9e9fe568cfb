import {Failure} from '../../failure.js';
import {whoLocked} from '../../linux/lock/process-lock.js';
import {Journal, type JournalEntry} from './journal.js';
import type {BindSetting} from './setting.js';

/**
 * @throws {@link Failure} when work on one of the devices, or on the node of its group, was cut short: what it was before
 * is what that entry says, and not what it is now. Whoever has the devices locked knows that nobody is at it any more.
 */
export const refuseInterrupted = (entries: readonly JournalEntry[], addresses: readonly string[]): void => {
  const cut = entries.filter(
    ({state, members}) => state === 'open' && members.some((member) => addresses.includes(member)),
  );
  const [first] = cut;
  if (first === undefined) return;
  const device = cut.flatMap(({devices}) => devices).find(({address}) => addresses.includes(address));
  throw new Failure({
    code: 'INTERRUPTED',
    kind: 'refused',
    what:
      device === undefined
        ? `Work on ${first.members.join(', ')} was cut short.`
        : `${device.address} is half-way between two drivers.`,
    why: `A former kvfio was ended while it changed ${device === undefined ? 'drivers or the owner of a node' : 'its driver'}.`,
    hint: 'Run "kvfio unbind --recover", which gives every such device its original driver, and nodes their owner.',
  });
};

/**
 * As {@link refuseInterrupted}, for a dry run, which locks nothing: an open entry whose devices somebody has locked is at work.
 */
export const refuseInterruptedUnlocked = (
  {folder}: BindSetting,
  entries: readonly JournalEntry[],
  addresses: readonly string[],
): void => {
  const journal = new Journal(folder);
  const isAtWork = ({members}: JournalEntry): boolean =>
    members.some((member) => whoLocked(journal.lockPath(member)) !== null);
  refuseInterrupted(
    entries.filter((entry) => !isAtWork(entry)),
    addresses,
  );
};

/** The journal for a dry run; null for an ordinary user, who may not read it. */
export const readableEntries = (
  {folder}: BindSetting,
  addresses: readonly string[],
): JournalEntry[] | null => {
  try {
    return new Journal(folder).entries(addresses);
  } catch (error) {
    if (error instanceof Failure && error.kind === 'permission') return null;
    throw error;
  }
};
