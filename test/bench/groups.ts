// Compares kvfio with lspci on the same large machine: whole processes, in turns, so that both meet the same load.
//
//     node --import tsx test/bench/groups.ts [PAIRS]
import {spawnSync} from 'node:child_process';
import {existsSync} from 'node:fs';
import {join} from 'node:path';
import {folderOf, intel, machine, pci, port, type DeviceSpec} from '../support/machine.js';
import {buildOnce, PROJECT} from '../support/run.js';

const DEVICES = 5000;
const PAIRS = Math.max(15, Number(process.argv[2] ?? 15));

/** Root ports with seven functions behind each: a group for every port, and one for every function. */
const devices = (): DeviceSpec[] =>
  Array.from({length: DEVICES / 8}, (_, at) => {
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

interface Measured {
  milliseconds: number;
  bytes: number;
}

const measure = ([command = '', ...argv]: readonly string[]): Measured => {
  const env = {...process.env};
  // reading certificates would be half of Node's start
  delete env['NODE_EXTRA_CA_CERTS'];
  const start = process.hrtime.bigint();
  const {status, stdout} = spawnSync(command, argv, {cwd: PROJECT, env, maxBuffer: 256 * 1024 * 1024});
  const milliseconds = Number(process.hrtime.bigint() - start) / 1e6;
  if (status !== 0) throw new Error(`${command} ${argv.join(' ')} exited with ${status ?? 'a signal'}`);
  return {milliseconds, bytes: stdout.length};
};

const quantile = (values: readonly number[], at: number): number => {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) * at)] ?? NaN;
};

buildOnce();
using built = machine(
  {
    units: {dmar0: intel('f050da')},
    groups: Object.fromEntries(devices().map((device, id) => [id, [device]])),
    pciIds: null,
  },
  existsSync('/dev/shm') ? '/dev/shm' : undefined,
);
const names = '/usr/share/misc/pci.ids';
const kvfio = [process.execPath, join(PROJECT, 'bin/run.js'), 'groups', '--sysroot', built.root];
const lspci = [
  'lspci',
  '-A',
  'linux-sysfs',
  '-O',
  `sysfs.path=${built.path('sys/bus/pci')}`,
  '-i',
  names,
  '-Dvmmnnk',
];
const contenders = {'groups --json': [...kvfio, '--json'], groups: kvfio};

for (const command of [...Object.values(contenders), lspci]) measure(command);
const times = new Map<string, number[]>();
const ratios = new Map<string, number[]>();
const note = (into: Map<string, number[]>, name: string, value: number): void => {
  into.set(name, [...(into.get(name) ?? []), value]);
};
for (let pair = 0; pair < PAIRS; pair++) {
  for (const [name, command] of Object.entries(contenders)) {
    const [own, other] = [measure(command).milliseconds, measure(lspci).milliseconds];
    note(times, name, own);
    note(times, 'lspci -Dvmmnnk', other);
    note(ratios, name, own / other);
  }
}

console.log(`${DEVICES} devices, ${PAIRS} pairs each; ratio: kvfio / lspci, median (25 % - 75 %)\n`);
for (const [name, values] of times) {
  const ratio = ratios.get(name);
  const parts = ratio === undefined ? '' : [0.5, 0.25, 0.75].map((at) => quantile(ratio, at).toFixed(2));
  const text = parts === '' ? '' : `${parts[0] ?? ''} (${parts[1] ?? ''} - ${parts[2] ?? ''})`;
  console.log(`${name.padEnd(16)}${quantile(values, 0.5).toFixed(0).padStart(6)} ms   ${text}`);
}
