import {execFile} from 'node:child_process';

export interface ChildOutcome {
  /** Exit code, or null where a signal ended it or it could not be started. */
  code: number | null;
  stdout: string;
  stderr: string;
}

/**
 * Runs a program to its end with empty input and English messages. It is killed when `signal` aborts, and the
 * promise then rejects with the abort's reason; a failing program does not reject it.
 */
export const runChild = (
  file: string,
  args: string[],
  {signal, cwd}: {signal?: AbortSignal | undefined; cwd?: string} = {},
): Promise<ChildOutcome> =>
  new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const options = {cwd, env: {...process.env, LC_ALL: 'C'}, maxBuffer: 64 * 1024 * 1024};
    const child = execFile(file, args, options, (error, stdout, stderr) => {
      signal?.removeEventListener('abort', kill);
      if (signal?.aborted) reject(signal.reason as Error);
      else if (error === null) resolve({code: 0, stdout, stderr});
      else
        resolve({
          code: typeof error.code === 'number' ? error.code : null,
          stdout,
          stderr: stderr || error.message,
        });
    });
    const kill = () => child.kill('SIGTERM');
    signal?.addEventListener('abort', kill);
    child.stdin?.end();
  });
