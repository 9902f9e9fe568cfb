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
 * Who has one of some device nodes open, found by device number and so under whatever path. Processes that kvfio may
 * not look at are counted.
 */
export const holdersOf = (...devices: readonly number[]): {holders: Holder[]; hidden: number} =>
  holdersBy(devices, deviceOf);

/** The same of block devices, whose numbers are others' than those of character devices. */
export const blockHoldersOf = (...devices: readonly number[]): {holders: Holder[]; hidden: number} =>
  holdersBy(devices, (owner, fd) => numberOr0(() => owner.blockDeviceOf(fd)));

type NumberOf = (owner: Process, fd: number) => number;

const holdersBy = (devices: readonly number[], numberOf: NumberOf): {holders: Holder[]; hidden: number} => {
  const holders: Holder[] = [];
  let hidden = 0;
  for (const pid of readdirSync('/proc').map(Number).filter(Number.isInteger)) {
    try {
      const owner = new Process(pid);
      if (descriptorsBy(owner, devices, numberOf).length > 0) holders.push({pid, comm: owner.comm()});
    } catch (error) {
      if (!(error instanceof SyscallError)) throw error;
      if (error.code === 'EACCES' || error.code === 'EPERM') hidden += 1;
    }
  }
  return {holders, hidden};
};

/**
 * Numbers of the descriptors that a process has of some device nodes.
 *
 * @throws {@link SyscallError} when kvfio may not look, or the process is gone
 */
export const descriptorsOn = (owner: Process, devices: readonly number[]): number[] =>
  descriptorsBy(owner, devices, deviceOf);

const descriptorsBy = (owner: Process, devices: readonly number[], numberOf: NumberOf): number[] =>
  [...owner.descriptors()].flatMap(([fd, link]) =>
    link.startsWith('/') && devices.includes(numberOf(owner, fd)) ? [fd] : [],
  );

/** Device number of a descriptor; 0 when it was closed meanwhile. */
export const deviceOf = (owner: Process, fd: number): number => numberOr0(() => owner.deviceOf(fd));

const numberOr0 = (look: () => number): number => {
  try {
    return look();
  } catch (error) {
    if (error instanceof SyscallError) return 0;
    throw error;
  }
};
