import {spawn} from 'node:child_process';
import {GuestShell} from './guest-shell.js';
import type {Place} from './place.js';

/** How a command ended. */
export interface PlaceEnding {
  /** Its exit code, or why it has none. */
  status: string;
  /** What it wrote to stdout and stderr, as it came. */
  output: string;
}

/** Runs commands one after the other, on this host or in a guest, which is booted for the first that needs it. */
export class Places implements AsyncDisposable {
  readonly #kernel: string;
  readonly #install: boolean;
  #guest: Promise<GuestShell> | undefined;

  /**
   * @param kernel - of the guest
   * @param install - may the lab install what it lacks?
   */
  constructor(kernel: string, install: boolean) {
    this.#kernel = kernel;
    this.#install = install;
  }

  /** As in `this host`, or `lab 6.12`. */
  nameOf(place: Place): string {
    return place === 'host' ? 'this host' : `lab ${this.#kernel}`;
  }

  /**
   * @param seconds - that the command may take
   * @param heard - is told all that the command has written so far, each time that there is more
   * @returns how it ended, or why there is no such place
   */
  async run(
    place: Place,
    argv: readonly string[],
    seconds: number,
    heard?: (output: string) => void,
  ): Promise<PlaceEnding | {missing: string}> {
    if (place === 'host') return runHere(argv, seconds, heard);
    this.#guest ??= GuestShell.boot({kernel: this.#kernel, install: this.#install});
    let guest;
    try {
      guest = await this.#guest;
    } catch (error) {
      return {missing: `the lab, where it finds KVM, does not work: ${String(error)}`};
    }
    try {
      const {status, output} = await guest.run(argv, seconds, heard);
      return {status: String(status), output};
    } catch (error) {
      // whatever was done to it, the next command gets another
      const {output} = guest;
      await this[Symbol.asyncDispose]();
      return {status: String(error), output};
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const guest = await this.#guest?.catch(() => undefined);
    this.#guest = undefined;
    await guest?.[Symbol.asyncDispose]();
  }
}

/** The command ends with this process, and when it takes too long. */
const runHere = async (
  [program = '', ...argv]: readonly string[],
  seconds: number,
  heard?: (output: string) => void,
): Promise<PlaceEnding> => {
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', program, ...argv], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const ending: PlaceEnding = {status: '', output: ''};
  for (const stream of ['stdout', 'stderr'] as const)
    child[stream].on('data', (chunk: Buffer) => {
      ending.output += chunk.toString();
      heard?.(ending.output);
    });
  const limit = {passed: false};
  const timer = setTimeout(() => {
    limit.passed = true;
    child.kill('SIGKILL');
  }, seconds * 1000);
  ending.status = await new Promise<string>((resolve) => {
    child.once('error', (error) => {
      resolve(error.message);
    });
    child.once('close', (code, signal) => {
      resolve(limit.passed ? `SIGKILL, as it did not end within ${seconds} s` : String(signal ?? code));
    });
  });
  clearTimeout(timer);
  return ending;
};
