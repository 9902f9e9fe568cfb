import {readdirSync} from 'node:fs';
import {SyscallError} from '../linux/errno.js';
import {Process} from '../linux/proc/process.js';

/** A process that has a device node open. */
export interface Holder {
  pid: number;
  /** Its name. The process chose it. */
  comm: string;
}

/**
 * Processes that have device nodes open, by device number and so under any path. kvfio is among them only if no other process is: what
 * it inherited is for whom it has it from to close.
 */
export interface OpenNodes {
  character: ReadonlyMap<number, readonly Holder[]>;
  block: ReadonlyMap<number, readonly Holder[]>;
  /** How many processes kvfio may not look into that could have any open. */
  hidden: number;
}

/**
 * Reads once what all processes have open.
 *
 * @param proc where procfs is mounted
 */
export const readOpenNodes = (proc = '/proc'): OpenNodes => {
  const open = {character: new Map<number, Holder[]>(), block: new Map<number, Holder[]>()};
  let hidden = 0;
  for (const pid of readdirSync(proc).map(Number).filter(Number.isInteger)) {
    const owner = new Process(pid, proc);
    try {
      const nodes = nodesOf(owner);
      if (nodes.length === 0) continue;
      const holder = {pid, comm: owner.comm()};
      for (const {kind, number} of nodes) {
        const holders = open[kind].get(number);
        if (holders === undefined) open[kind].set(number, [holder]);
        else if (holders.at(-1) !== holder) holders.push(holder);
      }
    } catch (error) {
      if (!(error instanceof SyscallError)) throw error;
      if (isForbidden(error) && mayHaveFiles(owner)) hidden += 1;
    }
  }
  return {
    character: withoutInherited(open.character, process.pid),
    block: withoutInherited(open.block, process.pid),
    hidden,
  };
};

/** @param own - the process id of kvfio */
export const withoutInherited = (
  open: ReadonlyMap<number, readonly Holder[]>,
  own: number,
): Map<number, readonly Holder[]> =>
  new Map(
    [...open].map(([number, holders]) => {
      const others = holders.filter(({pid}) => pid !== own);
      return [number, others.length === 0 ? holders : others];
    }),
  );

/** The processes that have one of some character devices open, and the number of processes that kvfio may not look into. */
export const holdersOf = (...devices: readonly number[]): {holders: Holder[]; hidden: number} => {
  const open = readOpenNodes();
  return {holders: holdersAmong(open, devices), hidden: open.hidden};
};

/** Processes that have one of these devices open, each once, by ascending process id. */
export const holdersAmong = ({character}: OpenNodes, devices: readonly number[]): Holder[] => {
  const holders = devices.flatMap((device) => character.get(device) ?? []);
  return [...new Set(holders)].sort((a, b) => a.pid - b.pid);
};

/** `process 12 (nvme), process 13 (dd)`; a browser has a display open in dozens. */
export const holdersText = (holders: readonly Holder[]): string =>
  [
    ...holders.slice(0, NAMED).map(({pid, comm}) => `process ${pid} (${comm})`),
    ...(holders.length > NAMED ? [`${holders.length - NAMED} more`] : []),
  ].join(', ');

const NAMED = 8;

type Node = NonNullable<ReturnType<Process['deviceNodeOf']>>;

const nodesOf = (owner: Process): Node[] =>
  [...owner.descriptors()].flatMap(([fd, link]) =>
    link.startsWith('/') ? (unlessRefused(() => owner.deviceNodeOf(fd)) ?? []) : [],
  );

/** Whether a process may have files: one that kvfio may not look into may, and one that is gone has none. */
const mayHaveFiles = (owner: Process): boolean => {
  try {
    return owner.mayHaveFiles();
  } catch (error) {
    if (error instanceof SyscallError) return isForbidden(error);
    throw error;
  }
};

const isForbidden = ({code}: SyscallError): boolean => code === 'EACCES' || code === 'EPERM';

/** Number of the character device that a descriptor is open on; 0 when it was closed meanwhile. */
export const deviceOf = (owner: Process, fd: number): number => unlessRefused(() => owner.deviceOf(fd)) ?? 0;

/** Null when it was closed meanwhile, and for a file that even root may not ask about, such as one of another user's FUSE. */
const unlessRefused = <T>(look: () => T): T | null => {
  try {
    return look();
  } catch (error) {
    if (error instanceof SyscallError) return null;
    throw error;
  }
};
