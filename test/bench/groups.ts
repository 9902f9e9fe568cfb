import {spawnSync} from 'node:child_process';
import {existsSync} from 'node:fs';
import {folderOf, intel, machine, pci, port, type DeviceSpec, type Machine} from '../support/machine.js';
import {buildOnce} from '../support/run.js';
import type {Benchmark, Figure, Line} from './benchmark.js';
import {KVFIO} from './commands.js';
import {milliseconds, paired, timesOf, type Command, type Paired} from './turns.js';

const SMALL = 5000;
const LARGE = 50_000;

/** Compares kvfio with lspci on the same large machines: both sizes, the growth between them, and memory. */
export const benchmark: Benchmark = {
  needs: ['lspci'],
  lines: () => [
    ...[SMALL, LARGE].map((size): Line => ({
      ...{what: `groups --json, ${size} devices`, against: 'lspci -Dvmmnnk', unit: 'x', most: 0.7},
    })),
    {what: `time per device, ${LARGE} devices`, against: `${SMALL} devices`, unit: 'x', most: 1.1},
    ...['groups --json', 'groups'].map((command): Line => ({
      ...{what: `memory of ${command}, ${LARGE} devices`, against: '', unit: 'MB', most: 150},
    })),
  ],
  measure: (effort) => {
    buildOnce();
    const [pairs, pairsOfLarge] = effort === 'large' ? [15, 5] : [3, 1];
    const small = ofSize(SMALL, (built) => against(built, ['--json'], pairs));
    const large = ofSize(LARGE, (built) => ({
      ...against(built, ['--json'], pairsOfLarge),
      json: peak([...kvfio(built), '--json']),
      text: peak(kvfio(built)),
    }));
    const each = (size: number, {own}: Paired): number => (own / size) * 1000;
    const growth = [each(LARGE, large), each(SMALL, small)] as const;
    return [
      ...[small, large].map((times) => ({value: times.ratio, detail: timesOf(times)})),
      {
        value: growth[0] / growth[1],
        detail: `${growth[0].toFixed(0)} µs / ${growth[1].toFixed(0)} µs`,
      },
      ...[large.json, large.text].map((value): Figure => ({value, detail: 'maximum resident set'})),
    ];
  },
};

const against = (built: Machine, flags: readonly string[], pairs: number): Paired =>
  paired(
    () => milliseconds([...kvfio(built), ...flags]),
    () => milliseconds(lspci(built)),
    pairs,
  );

const kvfio = (built: Machine): Command => [...KVFIO, 'groups', '--sysroot', built.root];

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
