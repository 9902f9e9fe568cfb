/**
 * Measures the probe against a C program that runs the same guest, and what it needs itself.
 *
 * Both run alternately on one CPU, as other load changes all the time.
 *
 *   node --import tsx test/bench/probe.ts [--short]
 */
import {execFileSync, spawnSync} from 'node:child_process';
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {allowedCpus} from '../../src/linux/affinity.js';
import {assemble, program} from '../../src/probe/guest/program.js';
import type {CompareDocument} from '../../src/probe/compare.js';
import type {ProbeDocument} from '../../src/probe/probe-document.js';
import {buildOnce, PROJECT} from '../support/run.js';
import {report, SHORT, type Row} from './table.js';

const KVFIO = join(PROJECT, 'bin/run.js');
const OPERATIONS = ['wbinvd', 'cpuid'] as const;
const TRIES = SHORT ? 1 : 3;
const TURNS = 5;
const SAMPLES = 5000;
/** What `timeRow` takes at once: long enough for both programs to have many slices or one long run. */
const MANY = 50_000;

/** With 40 pairs, 6 or more of a probability of 5 % each have one of 1.4 %, and 7 or more of 0.3 %. */
const PAIRS = 40;
const MOST_DIFFERENT = 6;

const folder = mkdtempSync(join(tmpdir(), 'kvfio-bench-'));
const cpu = String(allowedCpus().at(-1) ?? 0);
const reference = join(folder, 'probe-reference');

const rows = (): Row[] => {
  buildOnce();
  execFileSync('cc', ['-O2', '-o', reference, join(PROJECT, 'test/bench/probe-reference.c')]);
  for (const operation of OPERATIONS) writeFileSync(join(folder, operation), assemble(program(operation)));
  return [
    ...Array.from({length: TRIES}, (_, tried) => sameFigures(tried + 1)).flat(),
    timeRow(),
    overheadRow(),
    memoryRow(),
    ...(SHORT ? [] : [promiseRow()]),
  ];
};

/** How far the figures of both programs are apart, each pooled over alternating turns. */
const sameFigures = (tried: number): Row[] => {
  const own = new Map<string, number[]>();
  const other = new Map<string, number[]>();
  for (let turn = 0; turn < TURNS; turn += 1) {
    for (const operation of OPERATIONS) {
      own.set(operation, [...(own.get(operation) ?? []), ...ownSamples(operation)]);
      other.set(operation, [...(other.get(operation) ?? []), ...referenceRun(operation, SAMPLES).samples]);
    }
  }
  return OPERATIONS.flatMap((operation) =>
    (
      [
        ['median', 0.5],
        ['p25', 0.25],
      ] as const
    ).map(([name, share]) => {
      const [a, b] = [quantile(own.get(operation), share), quantile(other.get(operation), share)];
      return {
        what: `probe, ${operation} ${name}, try ${tried}`,
        against: 'C loop: apart',
        value: Math.abs(a / b - 1) * 100,
        most: 5,
        unit: '%',
        detail: `${a} / ${b} ticks`,
      };
    }),
  );
};

const ownSamples = (operation: string): number[] => {
  const csv = kvfio([
    '--operation',
    operation,
    '--samples',
    String(SAMPLES),
    '--spread',
    '0',
    '--csv',
  ]).stdout;
  const samples = csv
    .trim()
    .split('\n')
    .slice(1)
    .map((line) => Number(line.split(',')[3]));
  if (samples.length !== SAMPLES) throw new Error(`kvfio gave ${samples.length} samples`);
  return samples;
};

const referenceRun = (operation: string, count: number): {samples: number[]; nanoseconds: number} => {
  const {status, stdout, stderr} = spawnSync(reference, [join(folder, operation), cpu, String(count)], {
    encoding: 'utf8',
    maxBuffer: 1e9,
  });
  if (status !== 0) throw new Error(stderr);
  return {samples: stdout.trim().split('\n').map(Number), nanoseconds: Number(stderr)};
};

/** The time that a sample takes from the first to the last one, pauses to let Node's loop live included. */
const timeRow = (): Row => {
  const turns = Array.from({length: TURNS}, () => {
    const [phase] = measured(['--samples', String(MANY), '--spread', '0']).phases;
    return {
      own: ((phase?.seconds ?? NaN) * 1e9) / (phase?.operations ?? NaN),
      other: referenceRun('wbinvd', MANY).nanoseconds / MANY,
    };
  });
  return {
    what: 'probe, time of a sample',
    against: 'C loop',
    value: quantile(
      turns.map(({own, other}) => own / other),
      0.5,
    ),
    most: 1.05,
    unit: 'x',
    detail: `${quantile(
      turns.map(({own}) => own),
      0.5,
    ).toFixed(0)} / ${quantile(
      turns.map(({other}) => other),
      0.5,
    ).toFixed(0)} ns`,
  };
};

const overheadRow = (): Row => {
  const document = measured(['--samples', '100000', '--spread', '0']);
  const [phase] = document.phases;
  if (phase === undefined) throw new Error('nothing was measured');
  return {
    what: 'probe, time of 100,000 samples',
    against: 'time in the guest',
    value: phase.seconds / phase.guestSeconds,
    most: 1.3,
    unit: 'x',
    detail: `${phase.exits} exits for ${phase.operations} operations in ${phase.slices} slices, longest ${phase.longestSlice * 1000} ms, ${document.machine.kvmModule}`,
  };
};

const memoryRow = (): Row => {
  const {stdout, stderr} = kvfio(['--samples', '1000000', '--json']);
  const samples = (JSON.parse(stdout) as ProbeDocument).series[0]?.samples;
  return {
    what: 'probe, memory for 1,000,000 samples',
    against: '',
    value: samples === 1e6 ? (Number(/maxRSS (\d+)/.exec(stderr)?.[1]) * 1024) / 1e6 : NaN,
    most: 200,
    unit: 'MB',
    detail: `${samples} taken`,
  };
};

const TELL_MEMORY =
  'data:text/javascript,process.on("exit",()=>process.stderr.write("maxRSS "+process.resourceUsage().maxRSS))';

/** How often two runs of the same are called different: of intervals that hold in 95 of 100 cases, 1 in 20. */
const promiseRow = (): Row => {
  let different = 0;
  for (let pair = 0; pair < PAIRS; pair += 1) {
    const [a, b] = [join(folder, 'a'), join(folder, 'b')];
    for (const path of [a, b]) writeFileSync(path, kvfio(['--samples', String(SAMPLES), '--json']).stdout);
    const {pairs} = JSON.parse(kvfio(['--json', '--compare', a, b], []).stdout) as CompareDocument;
    if (pairs[0]?.difference?.different !== false) different += 1;
  }
  return {
    what: 'probe, equal runs called different',
    against: '2 expected',
    value: different,
    most: MOST_DIFFERENT,
    unit: 'of 40',
    detail: '7 or more would be chance in 3 of 1000 cases',
  };
};

const measured = (argv: readonly string[]): ProbeDocument =>
  JSON.parse(kvfio([...argv, '--json']).stdout) as ProbeDocument;

const kvfio = (
  argv: readonly string[],
  pinned: readonly string[] = ['--cpu', cpu],
): {stdout: string; stderr: string} => {
  const {status, stdout, stderr} = spawnSync(
    process.execPath,
    ['--import', TELL_MEMORY, KVFIO, 'probe', ...pinned, ...argv],
    {encoding: 'utf8', maxBuffer: 1e9},
  );
  if (status !== 0) throw new Error(stderr);
  return {stdout, stderr};
};

const quantile = (samples: readonly number[] = [], share: number): number =>
  [...samples].sort((a, b) => a - b)[Math.floor(samples.length * share)] ?? NaN;

try {
  report(rows());
} finally {
  rmSync(folder, {recursive: true});
}
