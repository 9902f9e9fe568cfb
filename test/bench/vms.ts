// Compares `kvfio vms --json` with `ls -l /proc/PID/fd` on this host with 5,000 more processes: in turns, so that both meet the
// same load. One VM is there, so that what is read of a VM is in the time.
//
//     node --import tsx test/bench/vms.ts [--short]
import {execFileSync, spawn} from 'node:child_process';
import {once} from 'node:events';
import {mkdtempSync, readdirSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {buildOnce, PROJECT} from '../support/run.js';
import {startKvfioVm} from '../vm/vmm.js';
import {report, SHORT, type Row} from './table.js';
import {milliseconds, paired, timesOf} from './turns.js';

const PROCESSES = 5000;

/** One row for each number of descriptors that the processes have. */
const vmsRows = async (pairs: number): Promise<Row[]> => {
  buildOnce();
  const folder = mkdtempSync(join(tmpdir(), 'kvfio-bench-'));
  try {
    const program = join(folder, 'sleepers');
    execFileSync('cc', ['-O2', '-o', program, fileURLToPath(new URL('sleepers.c', import.meta.url))]);
    const rows: Row[] = [];
    const vm = await startKvfioVm(['--sock', `@kvfio-bench-${process.pid}`]);
    try {
      for (const descriptors of SHORT ? [4, 16] : [4, 8, 16, 32])
        rows.push(await rowOf(program, descriptors, pairs));
    } finally {
      await vm.end();
    }
    return rows;
  } finally {
    rmSync(folder, {recursive: true, force: true});
  }
};

const rowOf = async (program: string, descriptors: number, pairs: number): Promise<Row> => {
  const sleepers = spawn(program, [String(PROCESSES), String(descriptors)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    await once(sleepers.stdout, 'data');
    const times = paired(kvfio, ls, pairs);
    return {
      what: `vms --json, ${PROCESSES} processes of ${descriptors} files`,
      against: 'ls -l /proc/*/fd',
      value: times.ratio,
      most: 1,
      unit: 'x',
      detail: timesOf(times),
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

report(await vmsRows(SHORT ? 3 : 15));
