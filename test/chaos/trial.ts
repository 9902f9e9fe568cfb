import {execFileSync} from 'node:child_process';
import {existsSync} from 'node:fs';

/** How much is tried. */
export interface Scale {
  /** The form for continuous integration. */
  short: boolean;
  /** Seconds of the soak. */
  soak: number;
  /** Of everything that is left to chance, so that a run can be made again. */
  seed: number;
}

/** One line of the table. */
export interface Trial {
  /** What is done. */
  what: string;
  /** Why it cannot run on this machine, or undefined. */
  missing: () => string | undefined;
  /** Notes what it finds in the tally; what it throws counts as a loss. */
  run: (tally: Tally, scale: Scale) => Promise<void>;
}

/**
 * What a trial found. `lost` is an answer, a change or a file that is not what it has to be; `leaked` is what is left
 * behind; `harmed` is a VMM that noticed something.
 */
export class Tally {
  rounds = 0;
  /** In words, for the table. */
  detail = '';
  readonly lost: string[] = [];
  readonly leaked: string[] = [];
  readonly harmed: string[] = [];

  /** Does one round; what it throws is a loss, and the trial goes on. */
  async round(work: () => Promise<void>): Promise<void> {
    this.rounds += 1;
    try {
      await work();
    } catch (error) {
      this.lost.push(error instanceof Error ? (error.stack ?? error.message) : String(error));
    }
  }

  get held(): boolean {
    return this.rounds > 0 && this.lost.length + this.leaked.length + this.harmed.length === 0;
  }
}

/** Numbers by chance, the same for the same seed (mulberry32). */
export class Chance {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** At least 0 and less than 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** An integer, at least 0 and less than `limit`. */
  below(limit: number): number {
    return Math.floor(this.next() * limit);
  }

  of<T>(items: readonly T[]): T {
    const item = items[this.below(items.length)];
    if (item === undefined) throw new Error('nothing to choose from');
    return item;
  }

  bytes(length: number): Buffer {
    return Buffer.from(Array.from({length}, () => this.below(256)));
  }
}

/** The first thing of a list that this machine has not; undefined when it has all. */
export const missing = (...needs: (keyof typeof NEEDS)[]): string | undefined =>
  needs.map((need) => NEEDS[need]()).find((reason) => reason !== undefined);

const program = (name: string) => (): string | undefined => {
  try {
    execFileSync(name, ['--version'], {stdio: 'ignore'});
    return undefined;
  } catch {
    return `there is no ${name}`;
  }
};

const NEEDS = {
  x64: () => (process.arch === 'x64' ? undefined : 'making others execute calls is for x86-64'),
  kvm: () => (existsSync('/dev/kvm') ? undefined : 'there is no /dev/kvm'),
  cc: program('cc'),
  strace: program('strace'),
  prlimit: program('prlimit'),
};
