import {Failure} from '../failure.js';
import {openTree} from '../host/open-tree.js';
import {countsOf, machineDifference, isNone, type Counts, type Difference} from './difference.js';
import {kindKey} from './kind-key.js';
import {readCompared, type ComparedMachine} from './machine.js';

/** Machines of which nothing differs but their serials. */
export interface Kind {
  hosts: number;
  /** The first of their snapshots. */
  example: string;
  /** Whether they are as the baseline. */
  same: boolean;
  /** Whether they differ from the baseline, and are one alone or less than one in a hundred. */
  odd: boolean;
  /** Their snapshots, of which those beyond the first hundred are left out. */
  files: string[];
  /** What differs from the baseline. */
  kernel: Difference['kernel'];
  counts: Counts;
}

/** Something that is not a snapshot, or one that could not be read. */
export interface UnreadMachine {
  file: string;
  /** Code of the failure. */
  code: string;
  why: string;
}

export interface Kinds {
  /** The most frequent first. */
  kinds: Kind[];
  /** Machines that were read. */
  hosts: number;
  /** How many of them have something that could not be read. */
  incomplete: number;
  unread: UnreadMachine[];
}

/**
 * Reads many machines, one after the other and each once, and keeps of each only its name and a digest: memory grows with the number of
 * files and of kinds, and not with what is in them.
 *
 * @param onProgress receives how many have been read
 */
export const collectKinds = (
  baseline: ComparedMachine,
  files: readonly string[],
  onProgress: (done: number) => void,
): Kinds => {
  const kinds = new Map<string, Kind>();
  const unread: UnreadMachine[] = [];
  let incomplete = 0;
  for (const [at, file] of files.entries()) {
    onProgress(at);
    const machine = readOne(file);
    if ('why' in machine) {
      unread.push(machine);
      continue;
    }
    if (machine.warnings.length > 0) incomplete++;
    const key = kindKey(machine);
    const kind = kinds.get(key);
    if (kind === undefined) kinds.set(key, newKind(baseline, machine, file));
    else {
      kind.hosts++;
      if (kind.files.length < FILES_KEPT) kind.files.push(file);
    }
  }
  const hosts = files.length - unread.length;
  const isOdd = ({same, hosts: some}: Kind): boolean => !same && (some === 1 || some < hosts / ODD_BELOW);
  return {
    kinds: [...kinds.values()].map((kind) => ({...kind, odd: isOdd(kind)})).sort((a, b) => b.hosts - a.hosts),
    hosts,
    incomplete,
    unread,
  };
};

const readOne = (file: string): ComparedMachine | UnreadMachine => {
  try {
    return readCompared(openTree(file, SNAPSHOT_LIMIT), {serials: false, names: false});
  } catch (error) {
    if (error instanceof Failure) return {file, code: error.code, why: error.why};
    throw error;
  }
};

const newKind = (baseline: ComparedMachine, machine: ComparedMachine, example: string): Kind => {
  const difference = machineDifference(baseline, machine);
  return {
    hosts: 1,
    example,
    same: isNone(difference),
    odd: false,
    files: [example],
    kernel: difference.kernel,
    counts: countsOf(difference),
  };
};

/** Files that a kind lists at most: nobody reads the names of more hosts. */
const FILES_KEPT = 100;
/** A kind is odd if less than one in so many hosts is of it. */
const ODD_BELOW = 100;

/** Largest snapshot of many that is read or unpacked, in bytes: that of 5,000 devices has about half of it. */
const SNAPSHOT_LIMIT = 32 * 1024 * 1024;
