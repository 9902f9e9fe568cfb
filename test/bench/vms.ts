// Compares `kvfio vms` with `ls -l /proc/*/fd` on this host with 5,000 more processes: in turns, so that both meet the
// same load. One VM is there, so that what is read of a VM is in the time.
//
//     node --import tsx test/bench/vms.ts [PAIRS]
import {execFileSync, spawn, spawnSync} from 'node:child_process';
import {once} from 'node:events';
import {mkdtempSync, readdirSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {PROJECT} from '../support/run.js';
import {startKvfioVm} from '../vm/vmm.js';

const PROCESSES = 5000;
const PAIRS = Math.max(15, Number(process.argv[2] ?? 15));

const env = {...process.env};
// reading certificates would be half of Node's start
delete env['NODE_EXTRA_CA_CERTS'];

const measure = (command: string, argv: readonly string[]): number => {
  const start = process.hrtime.bigint();
  const {error, signal} = spawnSync(command, argv, {env, stdio: 'ignore'});
  const milliseconds = Number(process.hrtime.bigint() - start) / 1e6;
  // ls exits with 2 when a process ends meanwhile
  if (error !== undefined || signal !== null) throw new Error(`${command} failed: ${signal ?? ''}`);
  return milliseconds;
};

const quantile = (values: readonly number[], at: number): number =>
  [...values].sort((a, b) => a - b)[Math.floor((values.length - 1) * at)] ?? NaN;

const kvfio = (): number => measure(process.execPath, [join(PROJECT, 'bin/run.js'), 'vms', '--json']);
const ls = (): number => {
  const folders = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => `/proc/${name}/fd`);
  return measure('ls', ['-l', ...folders]);
};

const folder = mkdtempSync(join(tmpdir(), 'kvfio-bench-'));
try {
  const program = join(folder, 'sleepers');
  execFileSync('cc', ['-O2', '-o', program, fileURLToPath(new URL('sleepers.c', import.meta.url))]);
  await using vm = await startKvfioVm(['--sock', `@kvfio-bench-${process.pid}`]);
  console.log(`${PROCESSES} processes and the VM of process ${vm.pid}, ${PAIRS} pairs each`);
  console.log('ratio: kvfio vms --json / ls -l /proc/*/fd, median (25 % - 75 %)\n');
  for (const descriptors of [4, 8, 16, 32]) {
    const sleepers = spawn(program, [String(PROCESSES), String(descriptors)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    try {
      await once(sleepers.stdout, 'data');
      kvfio();
      ls();
      const pairs = Array.from({length: PAIRS}, () => [kvfio(), ls()] as const);
      const ratios = pairs.map(([own, other]) => own / other);
      const [median = NaN, low = NaN, high = NaN] = [0.5, 0.25, 0.75].map((at) => quantile(ratios, at));
      const times = [0, 1].map((at) =>
        quantile(
          pairs.map((pair) => pair[at] ?? NaN),
          0.5,
        ).toFixed(0),
      );
      console.log(
        `${String(descriptors).padStart(2)} descriptors each: ${times.join(' ms / ')} ms   ${median.toFixed(2)} (${low.toFixed(2)} - ${high.toFixed(2)})`,
      );
    } finally {
      sleepers.kill('SIGKILL');
      await once(sleepers, 'exit');
    }
  }
} finally {
  rmSync(folder, {recursive: true, force: true});
}
