import {spawn, type ChildProcess} from 'node:child_process';
import {once} from 'node:events';
import type {WatchLine} from './watch-line.js';

export interface RunEachOptions {
  /** A command line for `sh -c`. */
  command: string;
  /** Gets how a run ended that did not end well. */
  onFailure: (how: string) => void;
}

/** Runs a shell command for each line, one after the other, in the order of the lines. */
export class RunEach {
  readonly #options: RunEachOptions;
  readonly #waiting: WatchLine[] = [];
  #running: Promise<void> | undefined;
  #child: ChildProcess | undefined;
  #dropped = 0;

  constructor(options: RunEachOptions) {
    this.#options = options;
  }

  /** A line for which there is no room is counted, and no command runs for it. */
  add(line: WatchLine): void {
    if (this.#waiting.length >= MOST_WAITING) {
      this.#dropped += 1;
      return;
    }
    this.#waiting.push(line);
    this.#running ??= this.#runAll();
  }

  /**
   * Lets the command that runs end, kills it with what it started when it takes too long, and runs no more.
   *
   * @param patience - milliseconds
   * @returns for how many lines no command has run
   */
  async end(patience = PATIENCE): Promise<number> {
    const left = this.#waiting.splice(0).length + this.#dropped;
    const limit = setTimeout(() => {
      this.#kill();
    }, patience);
    await this.#running;
    clearTimeout(limit);
    return left;
  }

  #kill(): void {
    const pid = this.#child?.pid;
    if (pid === undefined) return;
    try {
      process.kill(-pid, 'SIGKILL');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }

  async #runAll(): Promise<void> {
    for (let line; (line = this.#waiting.shift()) !== undefined;) await this.#run(line);
    this.#running = undefined;
  }

  /** The command reads the line from stdin, and what it prints goes to stderr: stdout has only lines. */
  async #run(line: WatchLine): Promise<void> {
    const {command, onFailure} = this.#options;
    const child = spawn('sh', ['-c', command], {
      // in a group of its own: Ctrl-C ends kvfio, and a command that has begun is let end
      detached: true,
      stdio: ['pipe', 2, 2],
      env: {...process.env, ...variablesOf(line)},
    });
    this.#child = child;
    child.stdin?.on('error', () => undefined).end(`${JSON.stringify(line)}\n`);
    try {
      const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
      if (code !== 0) onFailure(`ended with ${signal ?? code ?? 'nothing'}`);
    } catch (error) {
      onFailure(`did not start: ${(error as Error).message}`);
    }
  }
}

/** Lines of a burst that wait for the command. */
const MOST_WAITING = 10_000;

/** Milliseconds that a command has to end when kvfio does. */
const PATIENCE = 5000;

/** What a short script asks for, without a parser of JSON. */
const variablesOf = ({kind, event, device, group, vm}: WatchLine): Record<string, string> => ({
  KVFIO_KIND: kind,
  KVFIO_EVENT: event,
  KVFIO_ADDRESS: device?.address ?? '',
  KVFIO_DRIVER: device?.driver ?? '',
  KVFIO_GROUP: String(group?.group ?? device?.group ?? ''),
  KVFIO_PID: String(vm?.pid ?? ''),
});
