import {join} from 'node:path';
import {PROJECT} from '../support/run.js';
import type {Figure} from './benchmark.js';
import {median, milliseconds, type Command} from './turns.js';

export const KVFIO: Command = [process.execPath, join(PROJECT, 'bin/run.js')];
export const VERSION: Command = [...KVFIO, '--version'];
export const NODE: Command = [process.execPath, '-e', '0'];

export const ratio = (own: number, other: number): number => own / other;
export const difference = (own: number, other: number): number => own - other;

/** A command that is timed, and what is run after it and is not. */
export interface Contestant {
  command: Command;
  after?: Command;
  /** Its exit codes; 0 alone when left out. */
  accepted?: readonly number[];
}

/** How long whole commands take, in turns, so that all meet the same load: milliseconds of each, round by round. */
export const timed = (contestants: readonly Contestant[], rounds: number): number[][] => {
  const times = contestants.map(() => [] as number[]);
  for (let round = 0; round < rounds; round += 1) {
    for (const [index, {command, after, accepted}] of contestants.entries()) {
      times[index]?.push(milliseconds(command, accepted));
      if (after !== undefined) milliseconds(after);
    }
  }
  return times;
};

/** Compares two commands round by round. */
export const compared = (
  own: readonly number[] = [],
  other: readonly number[] = [],
  compare: (own: number, other: number) => number,
): Figure => ({
  value: median(own.map((time, round) => compare(time, other[round] ?? NaN))),
  detail: `${median(own).toFixed(0)} / ${median(other).toFixed(0)} ms, ${own.length} rounds`,
});
