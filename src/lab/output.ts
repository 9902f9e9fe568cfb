import {closeSync, existsSync, openSync, readSync, rmSync} from 'node:fs';
import {join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';

/** Takes data and is ready for more when its promise is fulfilled. */
export type Sink = (data: Buffer) => Promise<void> | void;

/** How often the share is looked at, in milliseconds. */
export const PERIOD = 20;

export interface OutputParts {
  share: string;
  /** Name of the stream, as `pump` in guest-scripts.ts spells it. */
  stream: 'stdout' | 'stderr';
  sink: Sink;
  /** Whether the guest has written all that it will ever write. */
  ended: () => boolean;
  signal: AbortSignal;
}

/** Passes on what the guest writes into the numbered files of one stream, as it is written, until it has ended. */
export const followOutput = async (parts: OutputParts): Promise<void> => {
  for (let number = 0; await passOn(parts, number); number += 1) {
    rmSync(fileOf(parts, number), {force: true});
  }
};

/** Passes on one file until it is complete. @returns whether another follows */
const passOn = async (parts: OutputParts, number: number): Promise<boolean> => {
  const {sink, ended, signal} = parts;
  const next = fileOf(parts, number + 1);
  const abandoned = (): boolean => signal.aborted;
  let position = 0;
  while (!abandoned()) {
    // asked before the file is read to its end: afterwards more may have been written
    const last = ended();
    const complete = existsSync(next);
    for (const data of readFrom(fileOf(parts, number), position)) {
      await sink(data);
      if (abandoned()) return false;
      position += data.length;
    }
    if (complete) return true;
    if (last) return false;
    await sleep(PERIOD);
  }
  return false;
};

const fileOf = ({share, stream}: OutputParts, number: number): string => join(share, `${stream}.${number}`);

const readFrom = function* (path: string, start: number): Generator<Buffer> {
  if (!existsSync(path)) return;
  const file = openSync(path, 'r');
  try {
    for (let position = start; ;) {
      const data = Buffer.alloc(256 * 1024);
      const length = readSync(file, data, 0, data.length, position);
      if (length === 0) return;
      yield data.subarray(0, length);
      position += length;
    }
  } finally {
    closeSync(file);
  }
};
