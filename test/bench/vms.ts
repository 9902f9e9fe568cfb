// Compares `kvfio vms --json` with `ls -l /proc/PID/fd` on this host with 5,000 more processes: in turns, so that both meet the
// same load. One VM is there, so that what is read of a VM is in the time.
//
//     node --import tsx test/bench/vms.ts [PAIRS]
import {execFileSync, spawn} from 'node:child_process';
import {once} from 'node:events';
import {mkdtempSync, readdirSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {buildOnce, PROJECT} from '../support/run.js';
import {startKvfioVm} from '../vm/vmm.js';
import {isMain, milliseconds, paired, report, type BenchRow} from './ratios.js';

const PROCESSES = 5000;
const BAR = 1;

/** Rows of the table, one for each number of descriptors that the processes have. */
export const vmsRows = async (pairs = 15): Promise<BenchRow[]> => {
  buildOnce();
  const folder = mkdtempSync(join(tmpdir(), 'kvfio-bench-'));
  try {
    const program = join(folder, 'sleepers');
    execFileSync('cc', ['-O2', '-o', program, fileURLToPath(new URL('sleepers.c', import.meta.url))]);
    await using vm = await startKvfioVm(['--sock', `@kvfio-bench-${process.pid}`]);
    const rows: BenchRow[] = [];
    for (const descriptors of [4, 8, 16, 32]) rows.push(await rowOf(program, descriptors, pairs, vm.pid));
    return rows;
  } finally {
    rmSync(folder, {recursive: true, force: true});
  }
};

const rowOf = async (program: string, descriptors: number, pairs: number, vm: number): Promise<BenchRow> => {
  const sleepers = spawn(program, [String(PROCESSES), String(descriptors)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    await once(sleepers.stdout, 'data');
    const {ratio, quartiles, own, other} = paired(kvfio, ls, pairs);
    return {
      what: `vms --json, ${PROCESSES} processes of ${descriptors} files`,
      against: 'ls -l /proc/*/fd',
      ratio,
      bar: BAR,
      unit: '×',
      quartiles,
      note: `${own.toFixed(0)} ms / ${other.toFixed(0)} ms, with the VM of process ${vm}`,
    };
  } finally {
    sleepers.kill('SIGKILL');
    await once(sleepers, 'exit');
  }
};

const kvfio = (): number => milliseconds([process.execPath, join(PROJECT, 'bin/run.js'), 'vms', '--json']);

const ls = (): number => {
  const folders = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => `/proc/${name}/fd`);
  // it exits with 1 or 2 when a process ends meanwhile
  return milliseconds(['ls', '-l', ...folders], [0, 1, 2]);
};

if (isMain(import.meta.url)) report(await vmsRows(Math.max(5, Number(process.argv[2] ?? 15))));
