import {readdirSync} from 'node:fs';
import {SyscallError} from '../linux/errno.js';
import {Process} from '../linux/process.js';

/** A process that has a device node open. */
export interface Holder {
  pid: number;
  /** Its name. The process chose it. */
  comm: string;
}

/**
 * Who has one of some character devices open, found by device number and so under whatever path. Processes that kvfio
 * may not look at are counted.
 */
export const holdersOf = (...devices: readonly number[]): {holders: Holder[]; hidden: number} => {
  const {found, hidden} = scan(devices, deviceOf);
  return {holders: found.map(({holder}) => holder), hidden};
};

/** Who has each of some devices open, by its number. */
export const openersOf = (
  kind: 'character' | 'block',
  devices: readonly number[],
): ReadonlyMap<number, Holder[]> => {
  const openers = new Map<number, Holder[]>();
  if (devices.length === 0) return openers;
  for (const {holder, numbers} of scan(devices, kind === 'block' ? blockDeviceOf : deviceOf).found) {
    for (const number of numbers) openers.set(number, [...(openers.get(number) ?? []), holder]);
  }
  return openers;
};

/** `process 12 (nvme), process 13 (dd)`; a browser has a display open in dozens. */
export const holdersText = (holders: readonly Holder[]): string =>
  [
    ...holders.slice(0, NAMED).map(({pid, comm}) => `process ${pid} (${comm})`),
    ...(holders.length > NAMED ? [`${holders.length - NAMED} more`] : []),
  ].join(', ');

const NAMED = 8;

type NumberOf = (owner: Process, fd: number) => number;

interface Scan {
  found: {holder: Holder; numbers: ReadonlySet<number>}[];
  hidden: number;
}

const scan = (devices: readonly number[], numberOf: NumberOf): Scan => {
  const answer: Scan = {found: [], hidden: 0};
  for (const pid of readdirSync('/proc').map(Number).filter(Number.isInteger)) {
    try {
      const owner = new Process(pid);
      const numbers = new Set(openOn(owner, devices, numberOf).map(({number}) => number));
      if (numbers.size > 0) answer.found.push({holder: {pid, comm: owner.comm()}, numbers});
    } catch (error) {
      if (!(error instanceof SyscallError)) throw error;
      if (error.code === 'EACCES' || error.code === 'EPERM') answer.hidden += 1;
    }
  }
  return answer;
};

const openOn = (
  owner: Process,
  devices: readonly number[],
  numberOf: NumberOf,
): {fd: number; number: number}[] =>
  [...owner.descriptors()]
    .filter(([, link]) => link.startsWith('/'))
    .map(([fd]) => ({fd, number: numberOf(owner, fd)}))
    .filter(({number}) => devices.includes(number));

/** Number of the character device that a descriptor is open on; 0 when it was closed meanwhile. */
export const deviceOf = (owner: Process, fd: number): number => numberOr0(() => owner.deviceOf(fd));

const blockDeviceOf = (owner: Process, fd: number): number => numberOr0(() => owner.blockDeviceOf(fd));

const numberOr0 = (look: () => number): number => {
  try {
    return look();
  } catch (error) {
    if (error instanceof SyscallError) return 0;
    throw error;
  }
};
