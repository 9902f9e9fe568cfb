/** Runs one trial in a process of its own, and prints its result as JSON. `all.ts` starts this where nothing else is. */
import {readdirSync, readFileSync, readlinkSync, writeSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {setTimeout as sleep} from 'node:timers/promises';
import {Tally, type Scale, type Trial} from './trial.js';

export interface TrialResult {
  what: string;
  /** Why it was not run. */
  missing: string | null;
  rounds: number;
  lost: string[];
  leaked: string[];
  harmed: string[];
  detail: string;
  seconds: number;
}

/** Folders that kvfio may leave files in. */
const FOLDERS = [tmpdir(), '/run/kvfio'];

/** What belongs to the program that runs the trials, not to kvfio. */
const OWN_FILES = /^(tsx-|node-compile-cache)/;

const files = (): string[] =>
  FOLDERS.flatMap((folder) => {
    try {
      return readdirSync(folder)
        .filter((name) => !OWN_FILES.test(name))
        .map((name) => `${folder}/${name}`);
    } catch {
      return [];
    }
  });

/** Processes of this pid namespace but its first, this one and the compiler: their number, name and state. */
const processes = (): string[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && !['1', String(process.pid)].includes(name))
    .flatMap((pid) => {
      try {
        if (exeOf(pid).includes('/esbuild')) return [];
        const [, comm = '', state = ''] =
          /^\d+ \((.*)\) (\S)/.exec(readFileSync(`/proc/${pid}/stat`, 'utf8')) ?? [];
        return [`process ${pid} (${comm}, ${state})`];
      } catch {
        return [];
      }
    });

const exeOf = (pid: string): string => {
  try {
    return readlinkSync(`/proc/${pid}/exe`);
  } catch {
    return '';
  }
};

/** What is left when everybody has had time to end. */
const remains = async (): Promise<string[]> => {
  let left: string[] = [];
  for (let round = 0; round < 100; round += 1) {
    left = [...processes(), ...files()];
    if (left.length === 0) break;
    await sleep(50);
  }
  return left;
};

const [, , file = '', given = '{}'] = process.argv;
const scale = JSON.parse(given) as Scale;
const {trial} = (await import(file)) as {trial: Trial};
const tally = new Tally();
const began = performance.now();
const reason = trial.missing();

const result = (): TrialResult => {
  const {rounds, lost, leaked, harmed, detail} = tally;
  const seconds = (performance.now() - began) / 1000;
  return {
    ...{what: trial.what, missing: reason ?? null, rounds},
    ...{lost, leaked, harmed, detail, seconds},
  };
};

// so that something is known of one that does not end
// not through process.stdout, which a trial may catch
const timer = setInterval(() => writeSync(1, `${JSON.stringify(result())}\n`), 5000);
if (reason === undefined) {
  try {
    await trial.run(tally, scale);
  } catch (error) {
    tally.lost.push(error instanceof Error ? (error.stack ?? error.message) : String(error));
  }
  tally.leaked.push(...(await remains()));
}
clearInterval(timer);
process.stdout.write(`${JSON.stringify(result())}\n`, () => {
  process.exit();
});
