import {write} from 'node:fs';
import {setTimeout as sleep} from 'node:timers/promises';
import type {Sink} from './output.js';

/** How long to wait for a reader of a descriptor that does not block, in milliseconds. */
const PAUSE = 10;

/**
 * A sink that writes to an open descriptor without holding up the process while a reader is slow: Node's own
 * stdout would block on a full pipe, and then no signal could end the lab.
 */
export const descriptorSink =
  (descriptor: number): Sink =>
  async (data) => {
    for (let rest = data; rest.length > 0;) {
      const written = await writeSome(descriptor, rest);
      if (written === 0) await sleep(PAUSE);
      rest = rest.subarray(written);
    }
  };

const writeSome = (descriptor: number, data: Buffer): Promise<number> =>
  new Promise((resolve, reject) => {
    write(descriptor, data, (error, written) => {
      if (error === null) resolve(written);
      else if (error.code === 'EAGAIN') resolve(0);
      else reject(error);
    });
  });
