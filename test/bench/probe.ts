import {execFileSync, spawnSync} from 'node:child_process';
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {allowedCpus} from '../../src/linux/affinity.js';
import {assemble, program} from '../../src/probe/guest/program.js';
import type {CompareDocument} from '../../src/probe/compare.js';
import type {ProbeDocument} from '../../src/probe/probe-document.js';
import type {Size} from '../support/place.js';
import {buildOnce, PROJECT} from '../support/run.js';
import type {Benchmark, Figure, Line} from './benchmark.js';
import {KVFIO} from './commands.js';

/**
 * Measures the probe against a C program that runs the same guest, and what it needs itself.
 *
 * Both run alternately on one CPU, as other load changes all the time.
 */
export const benchmark: Benchmark = {
  needs: ['x64', 'kvm', 'cc'],
  lines: (size) => {
    const {tries, samplesOfMemory, promise} = EFFORT[size];
    return [
      ...Array.from({length: tries}, (_, tried) =>
        OPERATIONS.flatMap((operation) =>
          SHARES.map(([name]): Line => ({
            what: `probe, ${operation} ${name}, try ${tried + 1}`,
            against: 'C loop: apart',
            unit: '%',
            most: 5,
          })),
        ),
      ).flat(),
      {what: 'probe, time of a sample', against: 'C loop', unit: 'x', most: 1.05},
      {what: 'probe, time of its samples', against: 'time in the guest', unit: 'x', most: 1.3},
      {what: `probe, memory for ${samplesOfMemory} samples`, against: '', unit: 'MB', most: 200},
      ...(promise ? [PROMISE] : []),
    ];
  },
  measure: (size) => {
    buildOnce();
    const {tries, samplesOfMemory, promise} = EFFORT[size];
    const folder = mkdtempSync(join(tmpdir(), 'kvfio-bench-'));
    try {
      const bench = new ProbeBench(folder, size);
      return [
        ...Array.from({length: tries}, () => bench.sameFigures()).flat(),
        bench.timeOfSample(),
        bench.overhead(),
        bench.memory(samplesOfMemory),
        ...(promise ? [bench.promise()] : []),
      ];
    } finally {
      rmSync(folder, {recursive: true});
    }
  },
};

const OPERATIONS = ['wbinvd', 'cpuid'] as const;
const SHARES = [
  ['median', 0.5],
  ['p25', 0.25],
] as const;

/**
 * `many` is taken at once, long enough for both programs to have many slices or one long run. An exit takes an emulated
 * processor a hundred times as long.
 */
const EFFORT = {
  small: {tries: 1, turns: 3, samples: 1000, many: 5000, samplesOfMemory: 100_000, promise: false},
  medium: {tries: 1, turns: 5, samples: 5000, many: 50_000, samplesOfMemory: 1_000_000, promise: false},
  large: {tries: 3, turns: 5, samples: 5000, many: 50_000, samplesOfMemory: 1_000_000, promise: true},
} as const;

/** With 40 pairs, 6 or more of a probability of 5 % each have one of 1.4 %, and 7 or more of 0.3 %. */
const PAIRS = 40;
const PROMISE: Line = {
  what: 'probe, equal runs called different',
  against: '2 expected',
  unit: 'of 40',
  most: 6,
};

class ProbeBench {
  readonly #folder: string;
  readonly #reference: string;
  readonly #effort: (typeof EFFORT)[Size];
  readonly #cpu = String(allowedCpus().at(-1) ?? 0);

  constructor(folder: string, size: Size) {
    this.#folder = folder;
    this.#effort = EFFORT[size];
    this.#reference = join(folder, 'probe-reference');
    execFileSync('cc', ['-O2', '-o', this.#reference, join(PROJECT, 'test/bench/probe-reference.c')]);
    for (const operation of OPERATIONS) writeFileSync(join(folder, operation), assemble(program(operation)));
  }

  /** How far the figures of both programs are apart, each pooled over alternating turns. */
  sameFigures(): Figure[] {
    const own = new Map<string, number[]>();
    const other = new Map<string, number[]>();
    for (let turn = 0; turn < this.#effort.turns; turn += 1) {
      for (const operation of OPERATIONS) {
        own.set(operation, [...(own.get(operation) ?? []), ...this.#ownSamples(operation)]);
        other.set(operation, [
          ...(other.get(operation) ?? []),
          ...this.#referenceRun(operation, this.#effort.samples).samples,
        ]);
      }
    }
    return OPERATIONS.flatMap((operation) =>
      SHARES.map(([, share]) => {
        const [a, b] = [quantile(own.get(operation), share), quantile(other.get(operation), share)];
        return {value: Math.abs(a / b - 1) * 100, detail: `${a} / ${b} ticks`};
      }),
    );
  }

  #ownSamples(operation: string): number[] {
    const {samples: count} = this.#effort;
    const csv = this.#kvfio([
      '--operation',
      operation,
      '--samples',
      String(count),
      '--spread',
      '0',
      '--csv',
    ]).stdout;
    const samples = csv
      .trim()
      .split('\n')
      .slice(1)
      .map((line) => Number(line.split(',')[3]));
    if (samples.length !== count) throw new Error(`kvfio gave ${samples.length} samples`);
    return samples;
  }

  #referenceRun(operation: string, count: number): {samples: number[]; nanoseconds: number} {
    const {status, stdout, stderr} = spawnSync(
      this.#reference,
      [join(this.#folder, operation), this.#cpu, String(count)],
      {
        encoding: 'utf8',
        maxBuffer: 1e9,
      },
    );
    if (status !== 0) throw new Error(stderr);
    return {samples: stdout.trim().split('\n').map(Number), nanoseconds: Number(stderr)};
  }

  /** The time that a sample takes from the first to the last one, pauses to let Node's loop live included. */
  timeOfSample(): Figure {
    const {turns, many} = this.#effort;
    const times = Array.from({length: turns}, () => {
      const [phase] = this.#measured(['--samples', String(many), '--spread', '0']).phases;
      return {
        own: ((phase?.seconds ?? NaN) * 1e9) / (phase?.operations ?? NaN),
        other: this.#referenceRun('wbinvd', many).nanoseconds / many,
      };
    });
    const median = (values: number[]): number => quantile(values, 0.5);
    const [own, other] = [median(times.map((each) => each.own)), median(times.map((each) => each.other))];
    return {
      value: median(times.map((each) => each.own / each.other)),
      detail: `${own.toFixed(0)} / ${other.toFixed(0)} ns`,
    };
  }

  overhead(): Figure {
    const document = this.#measured(['--samples', String(2 * this.#effort.many), '--spread', '0']);
    const [phase] = document.phases;
    if (phase === undefined) throw new Error('nothing was measured');
    return {
      value: phase.seconds / phase.guestSeconds,
      detail: `${phase.exits} exits for ${phase.operations} operations in ${phase.slices} slices, longest ${phase.longestSlice * 1000} ms, ${document.machine.kvmModule}`,
    };
  }

  memory(count: number): Figure {
    const {stdout, stderr} = this.#kvfio(['--samples', String(count), '--json']);
    const samples = (JSON.parse(stdout) as ProbeDocument).series[0]?.samples;
    if (samples !== count) throw new Error(`kvfio took ${samples ?? 'no'} samples instead of ${count}`);
    return {
      value: (Number(/maxRSS (\d+)/.exec(stderr)?.[1]) * 1024) / 1e6,
      detail: `${samples} taken`,
    };
  }

  /** How often two runs of the same are called different: of intervals that hold in 95 of 100 cases, 1 in 20. */
  promise(): Figure {
    let different = 0;
    for (let pair = 0; pair < PAIRS; pair += 1) {
      const [a, b] = [join(this.#folder, 'a'), join(this.#folder, 'b')];
      for (const path of [a, b])
        writeFileSync(path, this.#kvfio(['--samples', String(this.#effort.samples), '--json']).stdout);
      const {pairs} = JSON.parse(this.#kvfio(['--json', '--compare', a, b], []).stdout) as CompareDocument;
      if (pairs[0]?.difference?.different !== false) different += 1;
    }
    return {value: different, detail: '7 or more would be chance in 3 of 1000 cases'};
  }

  #measured(argv: readonly string[]): ProbeDocument {
    return JSON.parse(this.#kvfio([...argv, '--json']).stdout) as ProbeDocument;
  }

  #kvfio(
    argv: readonly string[],
    pinned: readonly string[] = ['--cpu', this.#cpu],
  ): {stdout: string; stderr: string} {
    const [node = '', run = ''] = KVFIO;
    const {status, stdout, stderr} = spawnSync(
      node,
      ['--import', TELL_MEMORY, run, 'probe', ...pinned, ...argv],
      {encoding: 'utf8', maxBuffer: 1e9},
    );
    if (status !== 0) throw new Error(stderr);
    return {stdout, stderr};
  }
}

const TELL_MEMORY =
  'data:text/javascript,process.on("exit",()=>process.stderr.write("maxRSS "+process.resourceUsage().maxRSS))';

const quantile = (samples: readonly number[] = [], share: number): number =>
  [...samples].sort((a, b) => a - b)[Math.floor(samples.length * share)] ?? NaN;
