import {execFileSync, spawnSync} from 'node:child_process';
import {join} from 'node:path';
import {setTimeout} from 'node:timers/promises';
import {fileURLToPath} from 'node:url';
import {buildOnce, PROJECT} from '../support/run.js';
import {Arena} from '../owner/inject/victim.js';
import type {Benchmark, Figure, Line} from './benchmark.js';
import {KVFIO} from './commands.js';
import {quantile} from './turns.js';

/**
 * How long the owner of a VM stands still while calls are made in it, next to a C program that has it make the same calls
 * (owner-call.c): by the owner's own clock, a loop that reads CLOCK_MONOTONIC and keeps the longest time between two
 * readings.
 *
 * Each round takes a new owner for each contestant, in turn, and kvfio in a fresh process, as a command runs it. The owner
 * has real-time priority and the contestants a lower one, so that other load does not count.
 */
export const benchmark: Benchmark = {
  needs: ['x64', 'root', 'kvm', 'cc', 'chrt'],
  lines: () =>
    COMPARED.flatMap(({what, against}): Line[] => [
      {what: `owner's pause, ${what}`, against, unit: 'x', most: 3},
      {what: `owner's pause, ${what}, 99 of 100`, against: '', unit: 'us', most: 1000},
    ]),
  measure: async (size) => {
    buildOnce();
    using arena = new Arena();
    const reference = join(arena.folder, 'owner-call');
    execFileSync('cc', ['-O2', '-Wall', '-Wextra', '-o', reference, SOURCE]);
    const contestants: Record<string, Contestant> = {
      [NOBODY]: () => ['true'],
      ...Object.fromEntries(
        COMPARED.flatMap(({what, kvfio, against, call}): [string, Contestant][] => [
          [what, kvfio],
          [against, (pid, vmFd) => [reference, String(pid), String(vmFd), call]],
        ]),
      ),
    };
    const pauses = new Map(Object.keys(contestants).map((name) => [name, [] as number[]]));
    for (let round = 0; round < {small: 3, medium: 10, large: 100}[size]; round += 1) {
      for (const [name, contestant] of Object.entries(contestants))
        pauses.get(name)?.push(await measuredPause(arena, name, contestant));
    }
    const pauseOf = (name: string, at = 0.5): number => quantile(pauses.get(name) ?? [], at);
    const figures = (name: string): string =>
      `${pauseOf(name).toFixed(0)} us (p90 ${pauseOf(name, 0.9).toFixed(0)})`;
    return COMPARED.flatMap(({what, against}): Figure[] => [
      {
        value: pauseOf(what) / pauseOf(against),
        detail: `${figures(what)}, ${figures(against)}, nobody ${figures(NOBODY)}`,
      },
      {value: pauseOf(what, 0.99), detail: `of ${pauses.get(what)?.length ?? 0} owners`},
    ]);
  },
};

const NOBODY = 'nobody';
const SOURCE = fileURLToPath(new URL('owner-call.c', import.meta.url));

/** The command line of a contestant that works on an owner. */
type Contestant = (pid: number, vmFd: number) => string[];

const program =
  (work: string): Contestant =>
  (pid, vmFd) => [
    process.execPath,
    join(PROJECT, 'test/owner/inject/inject-program.js'),
    JSON.stringify({pid, vmFd, work}),
  ];

const COMPARED: {what: string; kvfio: Contestant; against: string; call: string}[] = [
  {
    what: 'kvfio create (the command)',
    kvfio: (pid, vmFd) => [...[...KVFIO, 'create'], ...['--pid', String(pid), '--vm-fd', String(vmFd)]],
    against: 'C: create',
    call: 'create',
  },
  {what: 'kvfio: create', kvfio: program('create'), against: 'C: create', call: 'create'},
  {what: 'kvfio: create, add', kvfio: program('create and add'), against: 'C: create, add', call: 'add'},
  {
    what: 'kvfio: create, give, add',
    kvfio: program('create, give and add'),
    against: 'C: create, give, add',
    call: 'give',
  },
];

/** Microseconds. */
const measuredPause = async (arena: Arena, name: string, contestant: Contestant): Promise<number> => {
  const owner = await arena.victim(['clock']);
  owner.tell(1);
  await setTimeout(5);
  const {status, stdout, stderr} = spawnSync(
    'chrt',
    ['-f', '1', ...contestant(owner.pid, owner.report.vmFd)],
    {encoding: 'utf8', env: {PATH: process.env['PATH'] ?? ''}},
  );
  if (status !== 0 || stdout.includes('"failure"')) throw new Error(`${name}: ${stderr}${stdout}`);
  owner.tell(0);
  await owner.until(({longest}) => longest > 0);
  const {longest} = owner.report;
  arena.clear();
  return longest / 1000;
};
