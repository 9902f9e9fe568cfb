/**
 * Runs all benchmarks, or those that are named, each in a process of its own, and prints one table of what they found:
 *
 *     npm run bench -- [--short] [--lab SERIES] [--install] [BENCHMARK...]
 *
 * What needs KVM is measured in the lab where this host has none that works, or with --lab, and the table says so. Every line
 * is printed; one that could not be measured says why. Ends with 1 for such a line and for one that misses what it is to
 * reach; with `--short` a miss is only told, because few rounds on a busy machine prove nothing.
 */
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {parseArgs} from 'node:util';
import {compilePrograms} from '../support/compile-programs.js';
import {conditionsHere, planOf} from '../support/place.js';
import {Places} from '../support/places.js';
import {buildOnce} from '../support/run.js';
import {BENCHMARKS} from './benchmarks.js';
import {passes, rowsOf, type Row} from './rows.js';
import {tableOf} from './table.js';

/** Seconds after which a benchmark counts as one that does not end. */
const LIMIT = 3600;

const {values, positionals} = parseArgs({
  allowPositionals: true,
  options: {
    short: {type: 'boolean', default: false},
    lab: {type: 'string'},
    install: {type: 'boolean', default: process.env['CI'] !== undefined},
  },
});
const {short, install, lab} = values;
const unknown = positionals.filter((name) => !(name in BENCHMARKS));
if (unknown.length > 0)
  throw new Error(`there is no benchmark ${unknown.join(', ')}: ${Object.keys(BENCHMARKS).join(', ')}`);

buildOnce();
const conditions = conditionsHere({short, inLab: lab !== undefined});
const rows: Row[] = [];
const folder = mkdtempSync(join(tmpdir(), 'kvfio-bench-'));
try {
  await compilePrograms(folder, ['bench/one.ts']);
  await using places = new Places(lab ?? '6.12', install);
  for (const [name, load] of Object.entries(BENCHMARKS)) {
    if (positionals.length > 0 && !positionals.includes(name)) continue;
    console.error(`${new Date().toISOString().slice(11, 19)} begins: ${name}`);
    const {benchmark} = await load();
    const plan = planOf(benchmark.needs, conditions);
    const {place, size} = 'missing' in plan ? {place: 'host' as const, size: 'medium' as const} : plan;
    const argv = [process.execPath, join(folder, 'one.mjs'), name, size];
    const ending = 'missing' in plan ? plan : await places.run(place, argv, LIMIT);
    rows.push(...rowsOf({lines: benchmark.lines(size), place, where: places.nameOf(place), ending}));
  }
} finally {
  rmSync(folder, {recursive: true});
}
console.log(`\n${tableOf(rows)}`);
if (!passes(rows, short)) process.exitCode = 1;
