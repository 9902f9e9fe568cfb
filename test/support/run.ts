import {execFileSync, spawnSync} from 'node:child_process';
import {readdirSync, statSync} from 'node:fs';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {Config} from '@oclif/core';
import {UNIT_ONLY} from './needs.js';

export const PROJECT = fileURLToPath(new URL('../..', import.meta.url));

export interface Outcome {
  exit: number;
  stdout: string;
  stderr: string;
}

let config: Promise<Config> | undefined;

/** What is needed of a command class to run it. */
interface Runnable {
  run(argv: string[], config: Config): Promise<unknown>;
}

/** Runs a command class of the sources in this process; what it prints is caught. */
export const run = async (command: Runnable, argv: readonly string[]): Promise<Outcome> => {
  config ??= Config.load(PROJECT);
  const loaded = await config;
  const outcome: Outcome = {exit: 0, stdout: '', stderr: ''};
  const before = process.exitCode;
  process.exitCode = 0;
  const restore = [caught('stdout', outcome), caught('stderr', outcome)];
  try {
    await command.run([...argv], loaded);
  } finally {
    for (const each of restore) each();
    outcome.exit = exitCode();
    process.exitCode = before;
  }
  return outcome;
};

/** A command may have set it since, which the compiler does not see. */
const exitCode = (): number => Number(process.exitCode);

const caught = (stream: 'stdout' | 'stderr', outcome: Outcome): (() => void) => {
  process[stream].write = (chunk: string | Uint8Array, ...rest: unknown[]): boolean => {
    outcome[stream] += typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString();
    const written = rest.at(-1);
    if (typeof written === 'function') (written as () => void)();
    return true;
  };
  return () => {
    // the stream's own method shows again
    Reflect.deleteProperty(process[stream], 'write');
  };
};

export interface SpawnOptions {
  env?: Record<string, string>;
  uid?: number;
  cwd?: string;
}

/** Starts the installed program as users do. Its environment is empty but for PATH and what is given. */
export const start = (argv: readonly string[], {env = {}, uid, cwd}: SpawnOptions = {}): Outcome => {
  buildOnce();
  const {status, stdout, stderr} = spawnSync(process.execPath, [join(PROJECT, 'bin/run.js'), ...argv], {
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
    env: {PATH: process.env['PATH'] ?? '', HOME: '/dev/null', ...env},
    ...(uid === undefined ? {} : {uid, gid: uid}),
    ...(cwd === undefined ? {} : {cwd}),
  });
  return {exit: status ?? -1, stdout, stderr};
};

let built = false;

/** Builds what users start, unless that has been done since all it comes from was changed. */
export const buildOnce = (): void => {
  if (UNIT_ONLY) throw new Error("a test that uses the build says needs(this, 'build') first");
  if (built) return;
  built = true;
  if (process.env['KVFIO_TEST_BUILT'] !== undefined || isBuilt(PROJECT)) return;
  // errors of types are for the check to find
  spawnSync(process.execPath, [join(PROJECT, 'node_modules/typescript/bin/tsc'), '-p', PROJECT], {
    stdio: 'ignore',
  });
  execFileSync(process.execPath, [join(PROJECT, '.ci/bundle.js')], {cwd: PROJECT, stdio: 'ignore'});
};

/** Whether the bundle of a project is newer than what it is made of and what makes it. */
export const isBuilt = (project: string): boolean => {
  const bundled = modified(join(project, 'dist/bundle/cli/main.js'));
  return ['src', '.ci/bundle.js', '.ci/compile.js'].every((name) => newest(join(project, name)) < bundled);
};

const newest = (path: string): number =>
  statSync(path).isDirectory()
    ? Math.max(...readdirSync(path).map((name) => newest(join(path, name))))
    : modified(path);

/** Milliseconds; 0 for a file that is not there. */
const modified = (file: string): number => statSync(file, {throwIfNoEntry: false})?.mtimeMs ?? 0;
