/**
 * How long a whole `kvfio create` takes beyond `kvfio --version`, in turns, so that both meet the same load.
 *
 *   node --import tsx test/bench/change-command.ts [--short]
 *
 * Each one makes a device, and is followed by one that takes it away again, which is not timed.
 */
import {spawnSync} from 'node:child_process';
import {existsSync, mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {buildOnce, PROJECT} from '../support/run.js';
import {startKvfioVm, type Vmm} from '../vm/vmm.js';
import {report, SHORT, type Row} from './table.js';

/** @throws Error when a command fails */
export const measureChangeCommand = async (rounds: number): Promise<Row[]> => {
  buildOnce();
  const folder = mkdtempSync(join(tmpdir(), 'kvfio-bench-'));
  const ways = [
    {way: 'agent', socket: join(folder, 'agent.sock'), flags: []},
    {way: 'inject', socket: join(folder, 'inject.sock'), flags: ['--no-agent']},
  ].map((each) => ({...each, times: [] as number[], more: [] as number[]}));
  const versions: number[] = [];
  const vms: Vmm[] = [];
  try {
    for (const {socket, flags} of ways) vms.push(await startKvfioVm(['--sock', socket, ...flags]));
    for (let round = 0; round < rounds; round += 1) {
      const version = milliseconds(['--version']);
      versions.push(version);
      for (const {socket, times, more} of ways) {
        const time = milliseconds(['create', '--vm-sock', socket]);
        milliseconds(['detach', '--all', '--close-device', '--vm-sock', socket]);
        times.push(time);
        more.push(time - version);
      }
    }
  } finally {
    for (const vm of vms) await vm.end();
    rmSync(folder, {recursive: true});
  }
  return ways.map(({way, times, more}) => ({
    what: `kvfio create by ${way}, beyond start-up`,
    against: 'kvfio --version',
    value: median(more),
    most: MOST,
    unit: 'ms' as const,
    detail: `${median(times).toFixed(0)} ms, ${median(versions).toFixed(0)} ms`,
  }));
};

const MOST = 20;

const milliseconds = (argv: readonly string[]): number => {
  const env = {PATH: process.env['PATH'] ?? ''};
  const start = process.hrtime.bigint();
  const {status, stderr} = spawnSync(process.execPath, [join(PROJECT, 'bin/run.js'), ...argv], {
    env,
    encoding: 'utf8',
  });
  const time = Number(process.hrtime.bigint() - start) / 1e6;
  if (status !== 0) throw new Error(`${argv.join(' ')} exited with ${status ?? 'a signal'}: ${stderr}`);
  return time;
};

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) / 2)] ?? NaN;

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const canRun = existsSync('/dev/kvm');
  if (!canRun) console.log('no VM can run here: there is no /dev/kvm');
  report(canRun ? await measureChangeCommand(SHORT ? 5 : 25) : []);
}
