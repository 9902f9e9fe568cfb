/** What benchmarks have in common: commands in turns, so that all meet the same load, and one line for each bar. */
import {spawnSync} from 'node:child_process';
import {fileURLToPath} from 'node:url';

/** One line of the table of all benchmarks. */
export interface BenchRow {
  what: string;
  against: string;
  ratio: number;
  /** What the ratio, or the value, may be at most. */
  bar: number;
  unit: '×' | 'MB';
  /** Between which values half of the measurements lie; null for a single one. */
  quartiles: readonly [number, number] | null;
  /** Median times, for people. */
  note: string;
}

export type Command = readonly string[];

/** Milliseconds that a command takes, whose output goes nowhere. `accepted` are its exit codes. */
export const milliseconds = ([program = '', ...argv]: Command, accepted: readonly number[] = [0]): number => {
  const env = {...process.env};
  // reading certificates would be half of Node's start
  delete env['NODE_EXTRA_CA_CERTS'];
  const start = process.hrtime.bigint();
  const {status} = spawnSync(program, argv, {env, stdio: 'ignore'});
  const time = Number(process.hrtime.bigint() - start) / 1e6;
  if (status === null || !accepted.includes(status))
    throw new Error(`${program} ${argv.slice(0, 3).join(' ')} exited with ${status ?? 'a signal'}`);
  return time;
};

export const quantile = (values: readonly number[], at: number): number =>
  values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) * at)] ?? NaN;

export interface Paired {
  ratio: number;
  quartiles: readonly [number, number];
  /** Medians, in milliseconds. */
  own: number;
  other: number;
}

/** Runs both once unmeasured and then `pairs` times in turns. The ratio is the median of those of each pair. */
export const paired = (own: () => number, other: () => number, pairs: number): Paired => {
  own();
  other();
  const times = Array.from({length: pairs}, () => [own(), other()] as const);
  const ratios = times.map(([a, b]) => a / b);
  return {
    ratio: quantile(ratios, 0.5),
    quartiles: [quantile(ratios, 0.25), quantile(ratios, 0.75)],
    own: quantile(
      times.map(([a]) => a),
      0.5,
    ),
    other: quantile(
      times.map(([, b]) => b),
      0.5,
    ),
  };
};

/** Prints rows, and has the process fail when one is missed. */
export const report = (rows: readonly BenchRow[]): void => {
  for (const {what, against, ratio, bar, unit, quartiles, note} of rows) {
    const spread = quartiles === null ? '' : ` (${quartiles.map((value) => value.toFixed(2)).join(' - ')})`;
    const verdict = ratio <= bar ? 'met' : 'MISSED';
    console.log(
      `${verdict.padEnd(7)}${what.padEnd(44)}${`${ratio.toFixed(unit === 'MB' ? 0 : 2)} ${unit}`.padStart(9)}${spread}  to reach ${bar} ${unit}${against === '' ? '' : ` of ${against}`}; ${note}`,
    );
    if (ratio > bar) process.exitCode = 1;
  }
};

/** Whether a benchmark was started by itself, rather than imported for its rows. */
export const isMain = (url: string): boolean => process.argv[1] === fileURLToPath(url);
