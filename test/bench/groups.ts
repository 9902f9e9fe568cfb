// Compares kvfio with lspci on the same large machines, and says how much memory it takes for them.
//
//     node --import tsx test/bench/groups.ts [--short]
import {spawnSync} from 'node:child_process';
import {existsSync} from 'node:fs';
import {join} from 'node:path';
import {folderOf, intel, machine, pci, port, type DeviceSpec, type Machine} from '../support/machine.js';
import {buildOnce, PROJECT} from '../support/run.js';
import {report, SHORT, type Row} from './table.js';
import {milliseconds, paired, timesOf, type Command, type Paired} from './turns.js';

const SMALL = 5000;
const LARGE = 50_000;
const BAR = 0.7;
const MEMORY_BAR = 150;

/** Rows of the table: both sizes against lspci, growth between them, and memory. */
const groupsRows = (pairs: number): Row[] => {
  buildOnce();
  const small = ofSize(SMALL, (built) => against(built, ['--json'], pairs));
  const large = ofSize(LARGE, (built) => ({
    ...against(built, ['--json'], SHORT ? 1 : 5),
    json: peak([...kvfio(built), '--json']),
    text: peak(kvfio(built)),
  }));
  const each = (size: number, {own}: Paired): number => (own / size) * 1000;
  const growth = each(LARGE, large) / each(SMALL, small);
  return [
    timeRow(SMALL, small),
    timeRow(LARGE, large),
    {
      what: `time per device, ${LARGE} devices`,
      against: `${SMALL} devices`,
      value: growth,
      most: 1.1,
      unit: 'x',
      detail: `${each(LARGE, large).toFixed(0)} µs / ${each(SMALL, small).toFixed(0)} µs`,
    },
    memoryRow('groups --json', large.json),
    memoryRow('groups', large.text),
  ];
};

const against = (built: Machine, flags: readonly string[], pairs: number): Paired =>
  paired(
    () => milliseconds([...kvfio(built), ...flags]),
    () => milliseconds(lspci(built)),
    pairs,
  );

const timeRow = (size: number, times: Paired): Row => ({
  what: `groups --json, ${size} devices`,
  against: 'lspci -Dvmmnnk',
  value: times.ratio,
  most: BAR,
  unit: 'x',
  detail: timesOf(times),
});

const memoryRow = (what: string, megabytes: number): Row => ({
  what: `memory of ${what}, ${LARGE} devices`,
  against: '',
  value: megabytes,
  most: MEMORY_BAR,
  unit: 'MB',
  detail: 'maximum resident set',
});

const kvfio = (built: Machine): Command => [
  process.execPath,
  join(PROJECT, 'bin/run.js'),
  'groups',
  '--sysroot',
  built.root,
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

report(groupsRows(SHORT ? 3 : 15));
