import type {Need} from '../support/needs.js';
import type {Size} from '../support/place.js';

/** How much is tried. */
export interface Scale {
  size: Size;
  /** Seconds of the soak. */
  soak: number;
  /** Of everything that is left to chance, so that a run can be made again. */
  seed: number;
}

/** One line of the table. */
export interface Trial {
  /** What is done. */
  what: string;
  needs: readonly Need[];
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
