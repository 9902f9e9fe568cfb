import {SLICE_MAX} from '../machine.js';
import type {Operation} from '../series.js';

/**
 * How many samples may be taken at once, so that a slice takes no longer than it should: Node's loop hears nothing
 * meanwhile. All operations get slices of the same size, whatever they cost, so that what changes in the course of a
 * run hits all alike.
 */
export class SliceSize {
  readonly #milliseconds: number;
  readonly #costs = new Map<Operation, number>();
  #size = 1;

  /** @param milliseconds - how long a slice should take at most */
  constructor(milliseconds: number) {
    this.#milliseconds = milliseconds;
  }

  /** Learns from a slice. */
  took(operation: Operation, samples: number, milliseconds: number): void {
    this.#costs.set(operation, milliseconds / samples);
  }

  /** The size for the next round. It grows slowly: a first slice may have been cheaper than others will be. */
  next(): number {
    const affordable = Math.floor(this.#milliseconds / Math.max(1e-9, ...this.#costs.values()));
    this.#size = Math.max(1, Math.min(affordable, this.#size * 4, SLICE_MAX));
    return this.#size;
  }
}
