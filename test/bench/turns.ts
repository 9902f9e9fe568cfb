/** Commands in turns, so that all meet the same load. */
import {spawnSync} from 'node:child_process';
import {readFileSync} from 'node:fs';

export type Command = readonly string[];

/** Milliseconds that a command takes, whose answer goes nowhere. `accepted` are its exit codes. */
export const milliseconds = ([program = '', ...argv]: Command, accepted: readonly number[] = [0]): number => {
  const env = {...process.env};
  // reading certificates would be half of Node's start
  delete env['NODE_EXTRA_CA_CERTS'];
  const start = process.hrtime.bigint();
  const {status, stderr} = spawnSync(program, argv, {
    env,
    stdio: ['ignore', 'ignore', 'pipe'],
    maxBuffer: Infinity,
  });
  const time = Number(process.hrtime.bigint() - start) / 1e6;
  if (status === null || !accepted.includes(status))
    throw new Error(
      `${program} ${argv.slice(0, 3).join(' ')} exited with ${status ?? 'a signal'}: ${String(stderr)}`,
    );
  return time;
};

/** Milliseconds of a command: by the clock, and of processors, in user and kernel mode, its threads' among them. */
export interface Cost {
  wall: number;
  cpu: number;
}

/**
 * What a command costs, whose answer goes nowhere. `one`: on one CPU alone, where threads and what else runs bring nothing.
 */
export const cost = (command: Command, {one = false}: {one?: boolean} = {}): Cost => {
  const env: NodeJS.ProcessEnv = {...process.env, LC_ALL: 'C', TIMEFORMAT: 'cost %3R %3U %3S'};
  delete env['NODE_EXTRA_CA_CERTS'];
  const shell = ['bash', '-c', 'time "$@" 2>/dev/null >/dev/null', 'time', ...command];
  const [program = '', ...argv] = one ? ['taskset', '-c', String(firstCpu()), ...shell] : shell;
  const {status, stderr} = spawnSync(program, argv, {
    env,
    encoding: 'utf8',
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const [, wall, user, system] = /^cost (\S+) (\S+) (\S+)$/m.exec(stderr) ?? [];
  if (status !== 0 || system === undefined)
    throw new Error(`${command.slice(0, 4).join(' ')} exited with ${status ?? 'a signal'}: ${stderr}`);
  return {wall: Number(wall) * 1000, cpu: (Number(user) + Number(system)) * 1000};
};

/** The first CPU that this process may run on. */
const firstCpu = (): number => {
  const list = /^Cpus_allowed_list:\s*(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  return Number(list ?? 0);
};

export const median = (values: readonly number[]): number => quantile(values, 0.5);

export const quantile = (values: readonly number[], at: number): number =>
  values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) * at)] ?? NaN;

export interface Paired {
  ratio: number;
  quartiles: readonly [number, number];
  /** Medians, in milliseconds. */
  own: number;
  other: number;
}

/** The two times that a ratio is made of, and between which values half of the ratios lie. */
export const timesOf = ({own, other, quartiles: [low, high]}: Paired): string =>
  `${own.toFixed(0)} / ${other.toFixed(0)} ms (${low.toFixed(2)} - ${high.toFixed(2)})`;

/** Runs both once unmeasured and then `pairs` times in turns. The ratio is the median of those of each pair. */
export const paired = (own: () => number, other: () => number, pairs: number): Paired => {
  own();
  other();
  const times = Array.from({length: pairs}, () => [own(), other()] as const);
  const ratios = times.map(([a, b]) => a / b);
  return {
    ratio: median(ratios),
    quartiles: [quantile(ratios, 0.25), quantile(ratios, 0.75)],
    own: median(times.map(([a]) => a)),
    other: median(times.map(([, b]) => b)),
  };
};
