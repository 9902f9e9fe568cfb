/**
 * Runs one trial in a process of its own, and prints its result as JSON. `all.ts` starts this where nothing else is.
 *
 *     node one.mjs NAME SCALE
 */
import {readdirSync, readFileSync, writeSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {setTimeout as sleep} from 'node:timers/promises';
import type {TrialResult} from './result.js';
import {Tally, type Scale} from './trial.js';
import {TRIALS} from './trials.js';

/** Folders that kvfio may leave files in. */
const FOLDERS = [tmpdir(), '/run/kvfio'];

const files = (): string[] =>
  FOLDERS.flatMap((folder) => {
    try {
      return readdirSync(folder).map((name) => `${folder}/${name}`);
    } catch {
      return [];
    }
  });

/** Processes of this pid namespace but its first and this one: their number, name and state. */
const processes = (): string[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && !['1', String(process.pid)].includes(name))
    .flatMap((pid) => {
      try {
        const [, comm = '', state = ''] =
          /^\d+ \((.*)\) (\S)/.exec(readFileSync(`/proc/${pid}/stat`, 'utf8')) ?? [];
        return [`process ${pid} (${comm}, ${state})`];
      } catch {
        return [];
      }
    });

/** What is left when everybody has had time to end. */
const remains = async (): Promise<string[]> => {
  let left: string[] = [];
  for (let round = 0; round < 600; round += 1) {
    left = [...processes(), ...files()];
    if (left.length === 0) break;
    await sleep(50);
  }
  return left;
};

const [, , name = '', given = '{}'] = process.argv;
const scale = JSON.parse(given) as Scale;
const load = TRIALS[name];
if (load === undefined) throw new Error(`there is no trial ${name}`);
const {trial} = await load();
const tally = new Tally();
const began = performance.now();

const result = (): TrialResult => {
  const {rounds, lost, leaked, harmed, detail} = tally;
  return {
    what: trial.what,
    rounds,
    lost,
    leaked,
    harmed,
    detail,
    seconds: (performance.now() - began) / 1000,
  };
};

// so that something is known of one that does not end
// not through process.stdout, which a trial may catch
const timer = setInterval(() => writeSync(1, `${JSON.stringify(result())}\n`), 5000);
try {
  await trial.run(tally, scale);
} catch (error) {
  tally.lost.push(error instanceof Error ? (error.stack ?? error.message) : String(error));
}
tally.leaked.push(...(await remains()));
clearInterval(timer);
process.stdout.write(`${JSON.stringify(result())}\n`, () => {
  process.exit();
});
