/** Runs all benchmarks, each in a process of its own, and goes on after one that misses what it is to reach. */
import {spawnSync} from 'node:child_process';
import {readdirSync} from 'node:fs';
import {fileURLToPath} from 'node:url';

const folder = fileURLToPath(new URL('.', import.meta.url));
const names = readdirSync(folder).filter(
  (name) => name.endsWith('.ts') && !['all.ts', 'ratios.ts'].includes(name),
);
const missed = names.filter((name) => {
  console.log(`\n== ${name.slice(0, -3)}`);
  return (
    spawnSync(process.execPath, ['--import', 'tsx', `${folder}${name}`], {stdio: 'inherit'}).status !== 0
  );
});
if (missed.length > 0) {
  console.log(`\nmissed: ${missed.join(', ')}`);
  process.exitCode = 1;
}
