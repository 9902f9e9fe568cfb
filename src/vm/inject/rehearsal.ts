import {spawn} from 'node:child_process';

/**
 * Runs `work` with a shell of kvfio's own that waits for input. What a program does for the first time takes it many
 * times longer, and an owner is not to wait for that.
 *
 * Whatever fails here is passed over: it is about time only.
 */
export const withUnderstudy = (work: (pid: number) => void): void => {
  const child = spawn('/bin/sh', ['-c', 'read line'], {stdio: ['pipe', 'ignore', 'ignore']});
  child.on('error', () => undefined);
  try {
    if (child.pid !== undefined) work(child.pid);
  } catch {
    // it will be slower
  } finally {
    child.kill('SIGKILL');
    child.unref();
    child.stdin.destroy();
  }
};
