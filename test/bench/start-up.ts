/**
 * How long whole commands take, next to Node alone and to `kvfio --version`, in turns, so that all meet the same load.
 *
 *   node --import tsx test/bench/start-up.ts [ROUNDS] [--short]
 *
 * Each `create` makes a device and is followed by one that takes it away again, which is not timed.
 */
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {buildOnce, PROJECT} from '../support/run.js';
import {startKvfioVm} from '../vm/vmm.js';
import {report, SHORT, type Row} from './table.js';
import {median, milliseconds} from './turns.js';

const rounds = Number(process.argv.slice(2).find((word) => !word.startsWith('-')) ?? (SHORT ? 10 : 40));
const KVFIO = [process.execPath, join(PROJECT, 'bin/run.js')];
const NODE = 'node -e 0';
const VERSION = 'kvfio --version';

/** Times of all commands by name, the one of a round at the same place in each. */
const measure = async (): Promise<Map<string, number[]>> => {
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
    [NODE, [process.execPath, '-e', '0'], null],
    [VERSION, [...KVFIO, '--version'], null],
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
  return times;
};

buildOnce();
const times = await measure();

/** Compares two commands round by round, which meet the same load. */
const compared = (
  what: string,
  against: string,
  row: Pick<Row, 'unit' | 'most'>,
  compare: (own: number, other: number) => number,
): Row => {
  const [own, others] = [times.get(what) ?? [], times.get(against) ?? []];
  return {
    what,
    against,
    ...row,
    value: median(own.map((time, round) => compare(time, others[round] ?? NaN))),
    detail: `${median(own).toFixed(0)} / ${median(others).toFixed(0)} ms, ${rounds} rounds`,
  };
};
const ratio = (own: number, other: number): number => own / other;
const difference = (own: number, other: number): number => own - other;

report([
  compared(VERSION, NODE, {unit: 'x', most: 2.5}, ratio),
  compared('kvfio groups --json', NODE, {unit: 'x', most: 2.5}, ratio),
  compared('kvfio create, by agent', VERSION, {unit: 'ms', most: 20}, difference),
  compared('kvfio create, by inject', VERSION, {unit: 'ms', most: 20}, difference),
]);
