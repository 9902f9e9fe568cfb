import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {cpus} from 'node:os';
import type {Benchmark} from './benchmark.js';
import {median} from './turns.js';

/** Seconds of a busy loop. */
const SECONDS = 1;

/** What this machine is: two virtual CPUs may be one core, and what others do takes from both. */
export const benchmark: Benchmark = {
  needs: [],
  lines: () => [{what: 'work of two busy loops at once', against: 'one', unit: 'x', most: null}],
  measure: async (size) => {
    const ratios: number[] = [];
    for (let round = 0; round < (size === 'large' ? 5 : 3); round += 1) {
      const alone = await busyLoop();
      const [first, second] = await Promise.all([busyLoop(), busyLoop()]);
      ratios.push((first + second) / alone);
    }
    const model = cpus()[0]?.model.trim() ?? 'unknown processor';
    return [{value: median(ratios), detail: `${model}, ${cpus().length} CPUs; 2.00 are two real cores`}];
  },
};

const LOOP = `
const end = performance.now() + ${SECONDS * 1000};
let work = 0;
while (performance.now() < end) for (let step = 0; step < 1000; step += 1) work += step % 7 === 0 ? 1 : 2;
console.log(work);
`;

/** @returns how much work it has done */
const busyLoop = async (): Promise<number> => {
  const child = spawn(process.execPath, ['-e', LOOP], {stdio: ['ignore', 'pipe', 'inherit']});
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  await once(child, 'close');
  return Number(output);
};
