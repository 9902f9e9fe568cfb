import {getHeapSpaceStatistics, setFlagsFromString} from 'node:v8';

/**
 * Has V8 keep still while an owner's thread is stopped. None of its compilers compiles any more what has run a few times, or
 * many, which takes 50 µs at a time and more; and it collects young garbage now if it would have to soon, which takes it as
 * long as all else for which the thread is stopped, and many times longer when the threads that it has help it find no CPU.
 */
export const calmEngine = (): void => {
  for (const compiler of COMPILERS) setFlagsFromString(`--no-${compiler}`);
  const garbage: unknown[] = [];
  // a V8 in which it is never enough counts in another way
  for (let tries = 0; tries < MOST_TRIES && room() < ENOUGH; tries += 1)
    garbage[0] = new Array<number>(PIECE / 8).fill(tries);
};

/** Maglev is there, and off, in Node 20; Node 22 has it on. */
const COMPILERS = ['sparkplug', 'maglev', 'opt'];

/** Bytes that can be allocated before the next collection. */
const room = (): number =>
  getHeapSpaceStatistics().find(({space_name}) => space_name === 'new_space')?.space_available_size ??
  Infinity;

/** Twice what a stop with five calls allocates. */
const ENOUGH = 96 * 1024;
const PIECE = 16 * 1024;
const MOST_TRIES = 128;
