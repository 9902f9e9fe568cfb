import {existsSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import type {Readable} from 'node:stream';
import {setTimeout as sleep} from 'node:timers/promises';
import {PERIOD} from './output.js';

/** The most that one file of input holds, in bytes. */
const FILE_SIZE = 1024 * 1024;

/** How many files the guest may be behind. */
const AHEAD = 2;

export interface InputParts {
  share: string;
  input: Readable;
  /** Sends the guest a line on its control port. */
  tell: (line: string) => void;
  signal: AbortSignal;
}

/**
 * Hands the guest an input to its end, in numbered files that the guest removes when it has used them.
 *
 * Nothing is read ahead of what the guest takes. Returns early when `signal` aborts.
 */
export const feedInput = async ({share, input, tell, signal}: InputParts): Promise<void> => {
  const file = (number: number): string => join(share, `in.${number}`);
  let number = 0;
  try {
    for await (const data of input.iterator({destroyOnReturn: false}) as AsyncIterable<Buffer>) {
      for (let start = 0; start < data.length; start += FILE_SIZE) {
        while (!signal.aborted && number >= AHEAD && existsSync(file(number - AHEAD))) await sleep(PERIOD);
        if (signal.aborted) return;
        writeFileSync(file(number), data.subarray(start, start + FILE_SIZE));
        tell(`in ${number}`);
        number += 1;
      }
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  if (!signal.aborted) tell('eof');
};
