/**
 * How long the owner of a VM stands still while a device is created: by the owner's own clock, a loop that reads
 * CLOCK_MONOTONIC and keeps the longest time between two readings.
 *
 *   node --import tsx test/bench/owner-pause.ts [ROUNDS] [PROTOTYPE.c]
 *
 * Each round takes a new victim for each contestant, in turn: kvfio in a fresh process (as a command runs it), the same
 * with a descriptor handed over, nobody, and the C program PROTOTYPE.c, which is run with PID and VM descriptor and creates
 * a device. The victim has real-time priority and the contestants a lower one, so that other load does not count.
 */
import {execFileSync, spawnSync} from 'node:child_process';
import {existsSync} from 'node:fs';
import {setTimeout} from 'node:timers/promises';
import {fileURLToPath} from 'node:url';
import {buildOnce} from '../support/run.js';
import {Arena, whyNoVictim} from '../vm/victim.js';

const [rounds = '100', prototype] = process.argv.slice(2);
const CHILD = fileURLToPath(new URL('../vm/inject-program.js', import.meta.url));

const missing = whyNoVictim();
if (missing !== undefined) {
  console.log(`skipped: ${missing}`);
  process.exit(0);
}
buildOnce();
using arena = new Arena();

const kvfio = (work: string) => (pid: number, vmFd: number) => [
  process.execPath,
  CHILD,
  JSON.stringify({pid, vmFd, work}),
];
const contestants: Record<string, (pid: number, vmFd: number) => string[]> = {
  nobody: () => ['true'],
  'kvfio: create': kvfio('create'),
  'kvfio: create, add': kvfio('create and add'),
  'kvfio: create, give, add': kvfio('create, give and add'),
};
if (prototype !== undefined && existsSync(prototype)) {
  const program = `${arena.folder}/prototype`;
  execFileSync('cc', ['-O2', '-w', '-o', program, prototype]);
  contestants['prototype: create'] = (pid, vmFd) => [program, String(pid), String(vmFd)];
}

const pauses = new Map(Object.keys(contestants).map((name) => [name, [] as number[]]));
for (let round = 0; round < Number(rounds); round += 1) {
  for (const [name, command] of Object.entries(contestants)) {
    const victim = await arena.victim(['clock']);
    victim.tell(1);
    await setTimeout(5);
    const {status, stdout, stderr} = spawnSync(
      'chrt',
      ['-f', '1', ...command(victim.pid, victim.report.vmFd)],
      {
        encoding: 'utf8',
        env: {PATH: process.env['PATH'] ?? ''},
      },
    );
    if (status !== 0 || stdout.includes('"failure"')) throw new Error(`${name}: ${stderr}${stdout}`);
    victim.tell(0);
    await victim.until(({longest}) => longest > 0);
    pauses.get(name)?.push(victim.report.longest / 1000);
    arena.clear();
  }
}

const at = (values: readonly number[], quantile: number): number =>
  values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) * quantile)] ?? NaN;
const base = pauses.get('prototype: create') ?? pauses.get('kvfio: create') ?? [];
console.log(
  `${'pause in µs'.padEnd(28)}${['median', 'p99', 'ratio of medians'].map((title) => title.padStart(18)).join('')}`,
);
for (const [name, values] of pauses) {
  const cells = [
    at(values, 0.5).toFixed(0),
    at(values, 0.99).toFixed(0),
    (at(values, 0.5) / at(base, 0.5)).toFixed(2),
  ];
  console.log(`${name.padEnd(28)}${cells.map((cell) => cell.padStart(18)).join('')}`);
}
