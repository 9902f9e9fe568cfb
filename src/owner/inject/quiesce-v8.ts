import {getHeapSpaceStatistics} from 'node:v8';

/**
 * Makes V8 collect young garbage now if it would have to soon, and not while an owner's thread is stopped: a collection takes as
 * long as all else for which the thread is stopped, and many times longer when the threads that V8 has help it find no CPU.
 */
export const quiesceV8 = (): void => {
  const garbage: unknown[] = [];
  // a V8 in which it is never enough counts in another way
  for (let tries = 0; tries < MOST_TRIES && room() < STOP_ALLOCATION_BYTES; tries += 1)
    garbage[0] = new Array<number>(PIECE / 8).fill(tries);
};

/** Bytes that can be allocated before the next collection. */
const room = (): number =>
  getHeapSpaceStatistics().find(({space_name}) => space_name === 'new_space')?.space_available_size ??
  Infinity;

/** Twice what a stop with five calls allocates. */
const STOP_ALLOCATION_BYTES = 96 * 1024;
const PIECE = 16 * 1024;
const MOST_TRIES = 128;
