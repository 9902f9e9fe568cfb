import {spawnSync} from 'node:child_process';
import {existsSync} from 'node:fs';
import {FORMAT_NAMES} from '../../src/export/formats.js';
import {folderOf, intel, machine, pci, port, type DeviceSpec, type Machine} from '../support/machine.js';
import {buildOnce} from '../support/run.js';
import type {Benchmark, Figure, Line} from './benchmark.js';
import {KVFIO} from './commands.js';
import {cost, milliseconds, paired, timesOf, type Command, type Paired} from './turns.js';

const SMALL = 5000;
const LARGE = 50_000;
/** From so many groups on a thread helps. */
const HELPED = 1000;

const LSPCI = 'lspci -Dvmmnnk';
const ONE = 'one CPU';

/**
 * Compares kvfio with lspci on the same large machines, both sizes, the growth between them, and memory: by the clock, and by what
 * processors do, on one of them. Compares other commands that read as much with `groups --json`.
 */
export const benchmark: Benchmark = {
  needs: ['lspci', 'taskset'],
  lines: () => [
    {what: `groups --json, ${SMALL} devices, CPU time, ${ONE}`, against: LSPCI, unit: 'x', most: 1},
    {what: `groups, ${SMALL} devices, CPU time, ${ONE}`, against: LSPCI, unit: 'x', most: 0.7},
    {what: `groups --json, ${SMALL} devices, ${ONE}`, against: LSPCI, unit: 'x', most: null},
    ...[SMALL, LARGE].map((size): Line => ({
      ...{what: `groups --json, ${size} devices`, against: LSPCI, unit: 'x', most: 0.7},
    })),
    {what: `groups --json, ${HELPED} groups`, against: ONE, unit: 'x', most: null},
    {what: `snapshot, ${SMALL} devices`, against: 'groups --json', unit: 'x', most: 1.3},
    {what: `snapshot, ${SMALL} devices, CPU time, ${ONE}`, against: 'groups --json', unit: 'x', most: null},
    {what: `time per device, ${LARGE} devices`, against: `${SMALL} devices`, unit: 'x', most: 1.1},
    ...FORMAT_NAMES.map((format): Line => ({
      ...{what: `export ${format}, ${SMALL} devices`, against: 'groups --json', unit: 'x', most: 1.2},
    })),
    ...['groups --json', 'groups'].map((command): Line => ({
      ...{what: `memory of ${command}, ${LARGE} devices`, against: '', unit: 'MB', most: 150},
    })),
  ],
  measure: (effort) => {
    buildOnce();
    const [pairs, pairsOfLarge] = effort === 'large' ? [15, 5] : [3, 1];
    const clock = (command: Command) => (): number => milliseconds(command);
    const work = (command: Command) => (): number => cost(command, {one: true}).cpu;
    const [json, text, whole] = [['groups', '--json'], ['groups'], ['snapshot', '-', '--quiet']];
    const small = ofSize(SMALL, (built) => {
      const [ours, others] = [kvfio(built, json), lspci(built)];
      return {
        work: paired(work(ours), work(others), pairs),
        text: paired(work(kvfio(built, text)), work(others), pairs),
        alone: paired(
          () => cost(ours, {one: true}).wall,
          () => cost(others, {one: true}).wall,
          pairs,
        ),
        clock: paired(clock(ours), clock(others), pairs),
        snapshot: paired(clock(kvfio(built, whole)), clock(ours), pairs),
        snapshotWork: paired(work(kvfio(built, whole)), work(ours), pairs),
        exports: FORMAT_NAMES.map((format) =>
          paired(clock(kvfio(built, ['export', format, '--quiet'])), clock(ours), pairs),
        ),
      };
    });
    const helped = ofSize(HELPED, (built) =>
      paired(
        () => cost(kvfio(built, json)).wall,
        () => cost(kvfio(built, json), {one: true}).wall,
        pairs,
      ),
    );
    const large = ofSize(LARGE, (built) => ({
      ...paired(clock(kvfio(built, json)), clock(lspci(built)), pairsOfLarge),
      peaks: [json, text].map((command) => peak(kvfio(built, command))),
    }));
    const each = (size: number, {own}: Paired): number => (own / size) * 1000;
    const growth = [each(LARGE, large), each(SMALL, small.clock)] as const;
    const figure = (times: Paired): Figure => ({value: times.ratio, detail: timesOf(times)});
    return [
      ...[
        small.work,
        small.text,
        small.alone,
        small.clock,
        large,
        helped,
        small.snapshot,
        small.snapshotWork,
      ].map(figure),
      {
        value: growth[0] / growth[1],
        detail: `${growth[0].toFixed(0)} µs / ${growth[1].toFixed(0)} µs`,
      },
      ...small.exports.map(figure),
      ...large.peaks.map((value): Figure => ({value, detail: 'maximum resident set'})),
    ];
  },
};

const kvfio = (built: Machine, [command = '', ...flags]: readonly string[]): Command => [
  ...KVFIO,
  command,
  '--sysroot',
  built.root,
  ...flags,
];

const lspci = (built: Machine): Command => [
  'lspci',
  '-A',
  'linux-sysfs',
  '-O',
  `sysfs.path=${built.path('sys/bus/pci')}`,
  '-i',
  '/usr/share/misc/pci.ids',
  '-Dvmmnnk',
];

/** Megabytes (1,000,000 bytes) of the largest resident set that the command has, which it writes down when it ends. */
const peak = ([program = '', ...argv]: Command): number => {
  // not the maximum of getrusage(2), into which exec takes that of who started the process
  const hook =
    'data:text/javascript,import {readFileSync} from "node:fs"; process.on("exit",()=>process.stderr.write(`peak ${/VmHWM:\\s*(\\d+)/.exec(readFileSync("/proc/self/status","utf8"))[1]}\\n`))';
  const env = {...process.env};
  delete env['NODE_EXTRA_CA_CERTS'];
  const {stderr} = spawnSync(program, ['--import', hook, ...argv], {
    env,
    stdio: ['ignore', 'ignore', 'pipe'],
    encoding: 'utf8',
  });
  const kib = /^peak (\d+)$/m.exec(stderr)?.[1];
  if (kib === undefined) throw new Error(`no peak of memory: ${stderr.slice(0, 500)}`);
  return (Number(kib) * 1024) / 1e6;
};

const ofSize = <T>(size: number, measure: (built: Machine) => T): T => {
  using built = machine(
    {
      units: {dmar0: intel('f050da')},
      groups: Object.fromEntries(devices(size).map((device, id) => [id, [device]])),
      pciIds: null,
    },
    existsSync('/dev/shm') ? '/dev/shm' : undefined,
  );
  return measure(built);
};

/** Root ports with seven functions behind each: a group for every port, and one for every function. */
const devices = (size: number): DeviceSpec[] =>
  Array.from({length: size / 8}, (_, at) => {
    const [domain, bus] = [at >> 7, at & 0x7f];
    const address = (number: number, fn: number): string =>
      `${domain.toString(16).padStart(4, '0')}:${number.toString(16).padStart(2, '0')}:00.${fn}`;
    const root = port(address(bus, 0), {unit: 'dmar0'});
    const functions = Array.from({length: 7}, (__, fn) =>
      pci(address(bus + 0x80, fn), {
        parent: folderOf(root),
        unit: 'dmar0',
        driver: 'e1000e',
        numa: 0,
        reset: 'flr bus',
      }),
    );
    return [root, ...functions];
  }).flat();
