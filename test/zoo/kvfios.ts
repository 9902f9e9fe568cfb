import {spawn} from 'node:child_process';
import {createInterface} from 'node:readline';
import {join} from 'node:path';
import {within} from '../../src/lab/within.js';
import {kvfio} from '../chaos/kvfio.js';
import type {Kvfio} from './meet.js';
import type {Answer} from './resident.js';

/** Starts a kvfio for each command line, as users do. */
export const oneEach: Kvfio = async (argv, milliseconds) => {
  const {exit, signal, stdout, stderr} = await kvfio(argv, {patience: milliseconds});
  return {exit, stdout, why: signal ?? stderr};
};

/** One kvfio that stays (resident.ts). */
export class Resident implements Disposable {
  readonly #child;
  readonly #answers;

  private constructor(folder: string) {
    this.#child = spawn(process.execPath, [join(folder, 'resident.mjs')], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#answers = createInterface(this.#child.stdout)[Symbol.asyncIterator]();
  }

  /** @param folder - of the programs */
  static async start(folder: string): Promise<Resident> {
    const resident = new Resident(folder);
    await resident.#answer(BEGIN);
    return resident;
  }

  readonly run: Kvfio = async (argv, milliseconds) => {
    this.#child.stdin.write(`${JSON.stringify(argv)}\n`);
    return {...(await this.#answer(milliseconds)), why: ''};
  };

  async #answer(milliseconds: number): Promise<Answer> {
    const answer: IteratorResult<string, unknown> = await within(this.#answers.next(), {
      ...{seconds: milliseconds / 1000, signal: undefined},
      expired: () => {
        this[Symbol.dispose]();
        return new Error(`kvfio hung for ${milliseconds / 1000} s`);
      },
    });
    if (answer.done === true) throw new Error('kvfio has ended');
    return JSON.parse(answer.value) as Answer;
  }

  [Symbol.dispose](): void {
    this.#child.kill('SIGKILL');
  }
}

/** Milliseconds in which it has begun, in an emulated guest on a busy host. */
const BEGIN = 600_000;
