import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {createInterface} from 'node:readline';

/** A `wbinvd-vmm`, which does what it is told. */
export interface CommandVmm extends AsyncDisposable {
  pid: number;
  /** Where it serves its VM. */
  socket: string;
  /** Has it do one thing; the number that it answers. */
  ask: (command: string) => Promise<number>;
}

/** Starts a program that was compiled from test/vm/wbinvd-vmm.c. */
export const commandVmm = async (program: string, socket: string): Promise<CommandVmm> => {
  const child = spawn(program, [socket], {stdio: ['pipe', 'pipe', 'inherit']});
  const ended = once(child, 'exit').then(([code, signal]) => {
    throw new Error(`${program} ended: ${String(code ?? signal)}`);
  });
  ended.catch(() => undefined);
  // that it has ended is told by what it does not answer
  child.stdin.on('error', () => undefined);
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const line = async (): Promise<string> => {
    const next = await Promise.race([lines.next(), ended]);
    // its output ends a moment before it does
    return next.done === true ? ended : next.value;
  };
  if ((await line()) !== 'ready') throw new Error(`${program} is not ready`);
  return {
    pid: child.pid ?? -1,
    socket,
    ask: async (command) => {
      child.stdin.write(`${command}\n`);
      return Number(await line());
    },
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL');
      await ended.catch(() => undefined);
    },
  };
};
