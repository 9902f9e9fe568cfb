/**
 * Injects faults into kvfio and its test VMs, and prints what was lost, leaked or harmed:
 *
 *     npm run chaos -- [--short] [--soak SECONDS] [--seed N] [--lanes N] [--lab SERIES]... [--install] [TRIAL...]
 *
 * Each trial runs in pid and mount namespaces of its own, so that the runner sees what the trial leaves behind. Trials run on this host, and what
 * needs KVM runs in the lab if this host has none that works, or with --lab. The run goes on after a line of the table that does not
 * hold, and then exits with 1; a line that did not run does not hold.
 */
import {mkdirSync, mkdtempSync, rmSync} from 'node:fs';
import {availableParallelism, tmpdir} from 'node:os';
import {join} from 'node:path';
import {parseArgs} from 'node:util';
import {conditionsHere, planOf} from '../support/place.js';
import {Places} from '../support/places.js';
import {buildOnce} from '../support/run.js';
import {makePrograms} from './make-programs.js';
import {allHeld, verdictOf, type Line} from './result.js';
import {reportOf} from './report.js';
import {runTrial} from './run-trial.js';
import {TRIALS} from './trials.js';

const {values, positionals} = parseArgs({
  allowPositionals: true,
  options: {
    short: {type: 'boolean', default: false},
    soak: {type: 'string'},
    seed: {type: 'string'},
    lanes: {type: 'string'},
    lab: {type: 'string', multiple: true},
    install: {type: 'boolean', default: process.env['CI'] !== undefined},
  },
});
const {short, install} = values;
const soak = Number(values.soak ?? (short ? 60 : 3600));
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31));
/** Of the lanes' guests by turns, as KVM differs between them. */
const kernels = values.lab ?? ['6.1', '6.12'];

const unknown = positionals.filter((name) => !(name in TRIALS));
if (unknown.length > 0)
  throw new Error(`there is no trial ${unknown.join(', ')}: ${Object.keys(TRIALS).join(', ')}`);

buildOnce();
const conditions = conditionsHere({short, inLab: values.lab !== undefined});
const wanted = await Promise.all(
  Object.entries(TRIALS)
    .filter(([name]) => positionals.length === 0 || positionals.includes(name))
    .map(async ([name, load]) => {
      const {what, needs} = (await load()).trial;
      return {name, what, plan: planOf(needs, conditions)};
    }),
);

const say = (words: string): void => {
  console.error(`${new Date().toISOString().slice(11, 19)} ${words}`);
};

const folder = mkdtempSync(join(tmpdir(), 'kvfio-chaos-'));
try {
  mkdirSync(join(folder, 'tmp'));
  await makePrograms(folder, conditions.whyMissing('cc') === undefined);
  const results = new Map<string, Line>();
  const waiting = [...wanted];
  const work = async (index: number): Promise<void> => {
    const kernel = kernels[index % kernels.length] ?? '';
    await using places = new Places(kernel, install);
    for (let next; (next = waiting.shift()) !== undefined;) {
      const {name} = next;
      say(`begins: ${name}`);
      const line = await runTrial(next, places, {folder, soak, seed});
      results.set(name, line);
      say(`ends: ${name}, ${line.where}, ${verdictOf(line)}`);
    }
  };
  const lanes = Number(values.lanes ?? Math.min(2, availableParallelism()));
  await Promise.all(Array.from({length: lanes}, (_, index) => work(index)));
  const lines = wanted.flatMap(({name}) => results.get(name) ?? []);
  console.log(`\n${reportOf(lines)}\n\n${short ? 'short' : 'full'} form, seed ${seed}`);
  if (!allHeld(lines)) process.exitCode = 1;
} finally {
  rmSync(folder, {recursive: true, force: true});
}
