import {spawn} from 'node:child_process';
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

  constructor(options: RunEachOptions) {
    this.#options = options;
  }

  add(line: WatchLine): void {
    this.#waiting.push(line);
    this.#running ??= this.#runAll();
  }

  /** Lets the command that runs end, and runs no more. Returns how many lines it has not run for. */
  async end(): Promise<number> {
    const left = this.#waiting.splice(0).length;
    await this.#running;
    return left;
  }

  async #runAll(): Promise<void> {
    for (let line; (line = this.#waiting.shift()) !== undefined;) await this.#run(line);
    this.#running = undefined;
  }

  /** The command reads the line from stdin, and what it prints goes to stderr: stdout has only lines. */
  async #run(line: WatchLine): Promise<void> {
    const {command, onFailure} = this.#options;
    const child = spawn('sh', ['-c', command], {
      // Ctrl-C ends kvfio, and a command that has begun is let end
      detached: true,
      stdio: ['pipe', 2, 2],
      env: {...process.env, ...variablesOf(line)},
    });
    child.stdin?.on('error', () => undefined).end(`${JSON.stringify(line)}\n`);
    try {
      const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
      if (code !== 0) onFailure(`ended with ${signal ?? code ?? 'nothing'}`);
    } catch (error) {
      onFailure(`did not start: ${(error as Error).message}`);
    }
  }
}

/** What a short script asks for, without a parser of JSON. */
const variablesOf = ({kind, event, device, group, vm}: WatchLine): Record<string, string> => ({
  KVFIO_KIND: kind,
  KVFIO_EVENT: event,
  KVFIO_ADDRESS: device?.address ?? '',
  KVFIO_DRIVER: device?.driver ?? '',
  KVFIO_GROUP: String(group?.group ?? device?.group ?? ''),
  KVFIO_PID: String(vm?.pid ?? ''),
});
