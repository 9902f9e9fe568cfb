import {execFileSync, spawn} from 'node:child_process';
import {once} from 'node:events';
import {mkdtempSync, readdirSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {whyNoKvm} from '../support/kvm.js';
import {buildOnce} from '../support/run.js';
import {startKvfioVm} from '../vm/vmm.js';
import type {Benchmark, Figure} from './benchmark.js';
import {KVFIO} from './commands.js';
import {milliseconds, paired, timesOf} from './turns.js';

const PROCESSES = 5000;

/** How many files each process has open. */
const filesOf = (effort: string): number[] => (effort === 'large' ? [4, 8, 16, 32] : [4, 16]);

/**
 * Compares `kvfio vms --json` with `ls -l /proc/PID/fd` on this host with 5,000 more processes. Where there can be a VM one is
 * there, so that what is read of a VM is in the time.
 */
export const benchmark: Benchmark = {
  needs: ['cc'],
  lines: (effort) =>
    filesOf(effort).map((files) => ({
      what: `vms --json, ${PROCESSES} processes of ${files} files`,
      against: 'ls -l /proc/*/fd',
      unit: 'x',
      most: 0.7,
    })),
  measure: async (effort) => {
    buildOnce();
    const folder = mkdtempSync(join(tmpdir(), 'kvfio-bench-'));
    try {
      const program = join(folder, 'sleepers');
      execFileSync('cc', ['-O2', '-o', program, fileURLToPath(new URL('sleepers.c', import.meta.url))]);
      const noKvm = whyNoKvm();
      await using vm = noKvm === undefined ? await startKvfioVm(['--sock', join(folder, 'vm.sock')]) : null;
      const figures: Figure[] = [];
      for (const files of filesOf(effort)) {
        const {value, detail} = await figureOf(program, files, effort === 'large' ? 15 : 3);
        figures.push({value, detail: vm === null ? `${detail}, no VM among them` : detail});
      }
      return figures;
    } finally {
      rmSync(folder, {recursive: true, force: true});
    }
  },
};

const figureOf = async (program: string, files: number, pairs: number): Promise<Figure> => {
  const sleepers = spawn(program, [String(PROCESSES), String(files)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    await once(sleepers.stdout, 'data');
    const times = paired(kvfio, ls, pairs);
    return {value: times.ratio, detail: timesOf(times)};
  } finally {
    sleepers.kill('SIGKILL');
    await once(sleepers, 'exit');
  }
};

const kvfio = (): number => milliseconds([...KVFIO, 'vms', '--json']);

const ls = (): number => {
  const folders = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => `/proc/${name}/fd`);
  // it exits with 1 or 2 when a process ends meanwhile
  return milliseconds(['ls', '-l', ...folders], [0, 1, 2]);
};
