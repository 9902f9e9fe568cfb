import assert from 'node:assert/strict';
import {spawn, spawnSync, type ChildProcess} from 'node:child_process';
import {once} from 'node:events';
import {mkdtempSync, readdirSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join, resolve} from 'node:path';
import {createInterface} from 'node:readline';
import {Failure} from '../../src/failure.js';
import {PROJECT, buildOnce} from '../support/run.js';

/** A program that owns a VM and listens at a socket. */
export interface Vmm extends AsyncDisposable {
  process: ChildProcess;
  pid: number;
  /** The line that said that it is ready. */
  line: string;
  /** All that it has written so far. */
  output: () => {stdout: string; stderr: string};
  /** Ends it and returns its exit code, null when a signal ended it. */
  end: (signal?: NodeJS.Signals) => Promise<number | null>;
}

/** Starts a program and waits for the first line on one of its streams. */
export const startVmm = async (
  argv: readonly string[],
  stream: 'stdout' | 'stderr' = 'stdout',
): Promise<Vmm> => {
  const [program = '', ...rest] = argv;
  const child = spawn(program, rest, {stdio: ['ignore', 'pipe', 'pipe']});
  const ended = once(child, 'close');
  const output = {stdout: '', stderr: ''};
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].on('data', (chunk: Buffer) => {
      output[name] += chunk.toString();
    });
  }
  const first = once(createInterface(child[stream]), 'line') as Promise<[string]>;
  const line = await Promise.race([first.then(([text]) => text), ended.then(() => null)]);
  if (line === null || child.pid === undefined)
    throw new Error(`${argv.join(' ')} ended: ${output.stderr}${output.stdout}`);
  const end = async (signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> => {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal);
    await ended;
    return child.exitCode;
  };
  return {
    process: child,
    pid: child.pid,
    line,
    output: () => output,
    end,
    [Symbol.asyncDispose]: async () => {
      await end('SIGKILL');
    },
  };
};

/** Starts `kvfio vm` as users do. */
export const startKvfioVm = (flags: readonly string[], stream?: 'stdout' | 'stderr'): Promise<Vmm> => {
  buildOnce();
  return startVmm([process.execPath, join(PROJECT, 'bin/run.js'), 'vm', ...flags], stream);
};

const AGENT = join(PROJECT, 'src/owner/agent');

/** Compiles a C file of the agent's folder, or one given as a path, against the header that is shipped. */
export const compile = (source: string, program: string): void => {
  const flags = ['-std=gnu11', '-O2', '-Wall', '-Wextra', '-Werror', `-I${AGENT}`];
  const {status, stderr} = spawnSync('cc', [...flags, '-o', program, resolve(AGENT, source)], {
    encoding: 'utf8',
  });
  assert.equal(status, 0, stderr);
};

/** A folder for sockets and programs, gone at the end of the block. */
export const scratch = (): Disposable & {path: (name: string) => string} => {
  const folder = mkdtempSync(join(tmpdir(), 'kvfio-vm-'));
  return {
    path: (name) => join(folder, name),
    [Symbol.dispose]: () => {
      remove(folder);
    },
  };
};

/** A program that was just killed, or a shell that lost its terminal, may still be writing there. */
const remove = (folder: string): void => {
  for (let attempt = 0; ; attempt += 1) {
    try {
      rmSync(folder, {recursive: true, force: true});
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOTEMPTY' || attempt === 100) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
    }
  }
};

/** How many descriptors a process has open. */
export const countDescriptors = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length;

/** A count that has been the same for a while. */
export const settled = async (count: () => number): Promise<number> => {
  for (let [last, same] = [count(), 0]; ; same = count() === last ? same + 1 : 0) {
    if (same === 20) return last;
    last = count();
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
};

/**
 * Waits until a count is what it should be, and stays so: a peer closes its side at its own time, and one descriptor
 * that it closes and opens anew now and then may make up for another at just that moment.
 */
export const settles = async (count: () => number, expected: number): Promise<void> => {
  let last = count();
  for (let [round, same] = [0, 0]; round < 500 && same < 5; round += 1) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    last = count();
    same = last === expected ? same + 1 : 0;
  }
  assert.equal(last, expected);
};

/** Asserts that something fails as a user is told. */
export const failsWith = async (
  work: Promise<unknown> | (() => unknown),
  code: string,
  exit: number,
  why = /./,
): Promise<void> => {
  await assert.rejects(
    async () => {
      await (typeof work === 'function' ? work() : work);
    },
    (error) => {
      if (!(error instanceof Failure)) throw error as Error;
      assert.deepEqual([error.code, error.exitCode], [code, exit], error.message);
      assert.match(error.why, why);
      return true;
    },
  );
};
