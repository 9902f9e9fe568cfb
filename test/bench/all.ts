/**
 * Runs all benchmarks, each in a process of its own, goes on after one that fails, and prints one table of what they found.
 * Exits with 1 when a benchmark ended without rows or a row misses what it is to reach; with `--short` a miss is only told,
 * because few rounds on a busy machine prove nothing.
 *
 *   node --import tsx test/bench/all.ts [--short]
 */
import {spawnSync} from 'node:child_process';
import {mkdtempSync, readdirSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {held, resultIn, ROWS_TO, SHORT, tableOf, type Row} from './table.js';

const folder = fileURLToPath(new URL('.', import.meta.url));
const NOT_BENCHMARKS = ['all.ts', 'table.ts', 'turns.ts'];
const names = readdirSync(folder).filter(
  (name) => name.endsWith('.ts') && !name.endsWith('.test.ts') && !NOT_BENCHMARKS.includes(name),
);

const results = mkdtempSync(join(tmpdir(), 'kvfio-bench-'));
const rows: Row[] = [];
const without: string[] = [];
try {
  for (const name of names) {
    const path = join(results, `${name}.json`);
    console.log(`\n== ${name.slice(0, -3)}`);
    spawnSync(process.execPath, ['--import', 'tsx', join(folder, name), ...process.argv.slice(2)], {
      stdio: 'inherit',
      env: {...process.env, [ROWS_TO]: path},
    });
    const result = resultIn(path);
    rows.push(...result.rows);
    if (result.missing !== null) without.push(`${name} ${result.missing}`);
  }
} finally {
  rmSync(results, {recursive: true});
}

console.log(`\n== all\n${tableOf(rows)}`);
for (const line of without) console.log(`MISSED  ${line}`);
if (without.length > 0 || (!SHORT && !rows.every(held))) process.exitCode = 1;
