/**
 * How long whole commands take, next to Node alone and to `kvfio --version`, in turns, so that all meet the same load.
 *
 *   node --import tsx test/bench/start-up.ts [ROUNDS]
 *
 * Each `create` makes a device and is followed by one that takes it away again, which is not timed.
 */
import {spawnSync} from 'node:child_process';
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {buildOnce, PROJECT} from '../support/run.js';
import {startKvfioVm} from '../vm/vmm.js';

const rounds = Number(process.argv[2] ?? 25);
const KVFIO = [process.execPath, join(PROJECT, 'bin/run.js')];

const milliseconds = ([program = '', ...argv]: readonly string[]): number => {
  const env = {PATH: process.env['PATH'] ?? ''};
  const start = process.hrtime.bigint();
  const {status, stderr} = spawnSync(program, argv, {env, encoding: 'utf8'});
  const time = Number(process.hrtime.bigint() - start) / 1e6;
  if (status !== 0) throw new Error(`${argv.join(' ')} exited with ${status ?? 'a signal'}: ${stderr}`);
  return time;
};

const at = (values: readonly number[], quantile: number): number =>
  values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) * quantile)] ?? NaN;

buildOnce();
const folder = mkdtempSync(join(tmpdir(), 'kvfio-bench-'));
const [asked, plain] = [join(folder, 'agent.sock'), join(folder, 'plain.sock')];
const vms = [await startKvfioVm(['--sock', asked]), await startKvfioVm(['--sock', plain, '--no-agent'])];
const undo = (socket: string): string[] => [
  ...KVFIO,
  'detach',
  '--all',
  '--close-device',
  '--vm-sock',
  socket,
];
const contestants: [name: string, command: string[], after: string[] | null][] = [
  ['node -e 0', [process.execPath, '-e', '0'], null],
  ['kvfio --version', [...KVFIO, '--version'], null],
  ['kvfio groups --json', [...KVFIO, 'groups', '--json'], null],
  ['kvfio create, by agent', [...KVFIO, 'create', '--vm-sock', asked], undo(asked)],
  ['kvfio create, by inject', [...KVFIO, 'create', '--vm-sock', plain], undo(plain)],
];
const times = new Map(contestants.map(([name]) => [name, [] as number[]]));
try {
  for (let round = 0; round < rounds; round += 1) {
    for (const [name, command, after] of contestants) {
      times.get(name)?.push(milliseconds(command));
      if (after !== null) milliseconds(after);
    }
  }
} finally {
  for (const vm of vms) await vm.end();
  rmSync(folder, {recursive: true});
}

const ratio = (name: string, base: string): string =>
  at(
    (times.get(name) ?? []).map((value, round) => value / (times.get(base)?.[round] ?? NaN)),
    0.5,
  ).toFixed(2);
console.log(`${rounds} rounds; ratios are medians of those of each round\n`);
console.log(
  `${''.padEnd(26)}${['median', '/ node -e 0', '/ --version'].map((title) => title.padStart(14)).join('')}`,
);
for (const [name, values] of times) {
  const cells = [
    `${at(values, 0.5).toFixed(0)} ms`,
    ratio(name, 'node -e 0'),
    ratio(name, 'kvfio --version'),
  ];
  console.log(`${name.padEnd(26)}${cells.map((cell) => cell.padStart(14)).join('')}`);
}
