import assert from 'node:assert/strict';
import {spawn, type ChildProcess, type StdioOptions} from 'node:child_process';
import {join} from 'node:path';
import {EXIT_CODES} from '../../src/failure.js';
import {PROJECT} from '../support/run.js';

const RUN = join(PROJECT, 'bin/run.js');

/** How a kvfio ended. */
export interface Ending {
  argv: readonly string[];
  exit: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
  milliseconds: number;
}

export interface StartOptions {
  /** What stands before node's arguments. */
  wrap?: readonly string[];
  /** Arguments of node itself. */
  node?: readonly string[];
  env?: Record<string, string>;
  /** Milliseconds until it counts as hanging, and is killed. */
  patience?: number;
  stdout?: number;
}

/** The command that users start, which may be killed. */
export class Kvfio {
  readonly child: ChildProcess;
  /** When it ended; it fails when that takes too long. */
  readonly ended: Promise<Ending>;

  constructor(
    argv: readonly string[],
    {wrap = [], node = [], env = {}, patience = 120_000, stdout}: StartOptions = {},
  ) {
    const [program = '', ...rest] = [...wrap, process.execPath, ...node, RUN, ...argv];
    const stdio: StdioOptions = ['ignore', stdout ?? 'pipe', 'pipe'];
    const begin = performance.now();
    this.child = spawn(program, rest, {
      stdio,
      env: {PATH: process.env['PATH'] ?? '', HOME: '/dev/null', ...env},
    });
    const output = {stdout: '', stderr: ''};
    for (const name of ['stdout', 'stderr'] as const)
      this.child[name]?.on('data', (chunk: Buffer) => (output[name] += chunk.toString()));
    this.ended = new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.child.kill('SIGKILL');
        reject(new Error(`kvfio ${argv.join(' ')} hung for ${patience / 1000} s`));
      }, patience);
      this.child.once('close', (exit, signal) => {
        clearTimeout(timer);
        resolve({argv, exit, signal, ...output, milliseconds: performance.now() - begin});
      });
    });
    // who does not wait for it may have killed it
    this.ended.catch(() => undefined);
  }
}

export const kvfio = (argv: readonly string[], options: StartOptions = {}): Promise<Ending> =>
  new Kvfio(argv, options).ended;

const PROPER = Object.entries(EXIT_CODES)
  .filter(([kind]) => kind !== 'bug')
  .map(([, code]) => code as number);

/**
 * Fails unless a kvfio ended as it promises to: with an exit code that says why, and a failure of three sentences, or with
 * --json one document.
 */
export const endsProperly = (ending: Ending): void => {
  const {argv, exit, signal, stdout, stderr} = ending;
  const shown = `kvfio ${argv.join(' ')}: exit ${exit ?? signal ?? ''}\n${stdout}\n${stderr}`.slice(0, 1500);
  assert.equal(signal, null, shown);
  if (exit === 0) return;
  assert.ok(exit !== null && PROPER.includes(exit), shown);
  // a check that failed is an answer
  if (exit === EXIT_CODES.checkFailed) return;
  if (argv.includes('--json')) {
    const {error} = JSON.parse(stdout) as {error: {exit: number; message: string; hint: string}};
    assert.equal(error.exit, exit, shown);
    assert.ok(error.message !== '' && error.hint !== '', shown);
  } else {
    assert.match(stderr, /^kvfio: .+\n {2}.+\n {2}.+/m, shown);
  }
  assert.doesNotMatch(stderr, /^\s+at .*:\d+:\d+\)?$/m, shown);
};
