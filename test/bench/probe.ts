/**
 * Measures the probe against a C program that runs the same guest, and what it needs itself.
 *
 * Both run alternately on one CPU, as other load changes all the time. Exits with 1 when a bar is missed.
 *
 *   node --import tsx test/bench/probe.ts
 */
import {execFileSync, spawnSync} from 'node:child_process';
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {allowedCpus} from '../../src/linux/affinity.js';
import {assemble, program} from '../../src/probe/guest/program.js';
import type {CompareDocument} from '../../src/probe/compare.js';
import type {ProbeDocument} from '../../src/probe/probe-document.js';
import type {Operation} from '../../src/probe/series.js';
import {buildOnce, PROJECT} from '../support/run.js';

const KVFIO = join(PROJECT, 'bin/run.js');
const OPERATIONS = ['wbinvd', 'cpuid'] as const;
const TRIES = 3;
const TURNS = 5;
const SAMPLES = 5000;

const folder = mkdtempSync(join(tmpdir(), 'kvfio-bench-'));
const cpu = String(allowedCpus().at(-1) ?? 0);
let missed = 0;

const main = (): void => {
  buildOnce();
  const reference = join(folder, 'probe-reference');
  execFileSync('cc', ['-O2', '-o', reference, join(PROJECT, 'test/bench/probe-reference.c')]);
  for (const operation of OPERATIONS) writeFileSync(join(folder, operation), assemble(program(operation)));
  console.log(`CPU ${cpu}; ${TURNS} turns of ${SAMPLES} samples for each, three tries`);
  for (let tried = 1; tried <= TRIES; tried += 1) compare(reference, tried);
  promise();
  overhead();
  memory();
};

/** Pools the samples of alternating turns. */
const compare = (reference: string, tried: number): void => {
  const [own, other] = [new Map<Operation, number[]>(), new Map<Operation, number[]>()];
  for (let turn = 0; turn < TURNS; turn += 1) {
    for (const operation of OPERATIONS) {
      add(own, operation, ownSamples(operation));
      add(other, operation, referenceSamples(reference, operation));
    }
  }
  for (const operation of OPERATIONS) {
    for (const [name, share] of [
      ['median', 0.5],
      ['p25', 0.25],
    ] as const) {
      const [a, b] = [quantile(own.get(operation), share), quantile(other.get(operation), share)];
      const apart = Math.abs(a / b - 1);
      bar(
        `try ${tried}: ${operation} ${name} ${a} ticks, C ${b}, ${(apart * 100).toFixed(2)} % apart (at most 5 %)`,
        apart <= 0.05,
      );
    }
  }
};

const add = (all: Map<Operation, number[]>, operation: Operation, samples: number[]): void => {
  all.set(operation, [...(all.get(operation) ?? []), ...samples]);
};

const ownSamples = (operation: Operation): number[] => {
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

const referenceSamples = (reference: string, operation: Operation): number[] =>
  execFileSync(reference, [join(folder, operation), cpu, String(SAMPLES)], {encoding: 'utf8', maxBuffer: 1e9})
    .trim()
    .split('\n')
    .map(Number);

/** How often two runs of the same are called different: of intervals that hold in 95 of 100 cases, 1 in 20. */
const promise = (): void => {
  let different = 0;
  for (let pair = 0; pair < PAIRS; pair += 1) {
    for (const name of ['a', 'b'])
      writeFileSync(join(folder, name), kvfio(['--samples', String(SAMPLES), '--json']).stdout);
    const {pairs} = JSON.parse(
      spawnSync(
        process.execPath,
        [KVFIO, 'probe', '--json', '--compare', join(folder, 'a'), join(folder, 'b')],
        {
          encoding: 'utf8',
        },
      ).stdout,
    ) as CompareDocument;
    if (pairs[0]?.difference?.different !== false) different += 1;
  }
  bar(
    `${PAIRS} pairs of runs: ${different} called different (5 % promised; more than ${MOST_DIFFERENT} would be chance in 3 of 1000 cases)`,
    different <= MOST_DIFFERENT,
  );
};

/** With 40 pairs, 6 or more of a probability of 5 % each have one of 1.4 %, and 7 or more of 0.3 %. */
const PAIRS = 40;
const MOST_DIFFERENT = 6;

const overhead = (): void => {
  const document = JSON.parse(
    kvfio(['--samples', '100000', '--spread', '0', '--json']).stdout,
  ) as ProbeDocument;
  const [phase] = document.phases;
  if (phase === undefined) throw new Error('nothing was measured');
  const ratio = phase.seconds / phase.guestSeconds;
  bar(
    `100,000 samples: ${((phase.seconds * 1e6) / 1e5).toFixed(2)} µs for each, ${ratio.toFixed(3)} times the guest's (at most 1.3)`,
    ratio <= 1.3,
  );
  console.log(
    `  ${phase.exits} exits for ${phase.operations} operations in ${phase.slices} slices (others: ${phase.otherExits}), the longest ${phase.longestSlice * 1000} ms, KVM back end ${document.machine.kvmModule}`,
  );
};

const memory = (): void => {
  const {stdout, stderr} = kvfio(['--samples', '1000000', '--json']);
  const megabytes = (Number(/maxRSS (\d+)/.exec(stderr)?.[1]) * 1024) / 1e6;
  const samples = (JSON.parse(stdout) as ProbeDocument).series[0]?.samples;
  bar(
    `1,000,000 samples: ${samples} taken, ${megabytes.toFixed(0)} MB at most (below 200)`,
    samples === 1e6 && megabytes < 200,
  );
};

const TELL_MEMORY =
  'data:text/javascript,process.on("exit",()=>process.stderr.write("maxRSS "+process.resourceUsage().maxRSS))';

const kvfio = (argv: readonly string[]): {stdout: string; stderr: string} => {
  const {status, stdout, stderr} = spawnSync(
    process.execPath,
    ['--import', TELL_MEMORY, KVFIO, 'probe', '--cpu', cpu, ...argv],
    {encoding: 'utf8', maxBuffer: 1e9},
  );
  if (status !== 0) throw new Error(stderr);
  return {stdout, stderr};
};

const quantile = (samples: readonly number[] = [], share: number): number =>
  [...samples].sort((a, b) => a - b)[Math.floor(samples.length * share)] ?? NaN;

const bar = (text: string, held: boolean): void => {
  console.log(`${held ? 'holds ' : 'MISSED'} ${text}`);
  if (!held) missed += 1;
};

try {
  main();
} finally {
  rmSync(folder, {recursive: true});
}
process.exitCode = missed === 0 ? 0 : 1;
