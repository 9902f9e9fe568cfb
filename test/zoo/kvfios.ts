import {spawn} from 'node:child_process';
import {createInterface} from 'node:readline';
import {join} from 'node:path';
import {within} from '../../src/lab/within.js';
import {kvfio} from '../chaos/kvfio.js';
import {PROJECT} from '../support/run.js';
import type {Kvfio, KvfioEnding} from './meet.js';

/** Starts a kvfio for each command line, as users do. */
export const oneEach: Kvfio = async (argv, milliseconds) => {
  const {exit, signal, stdout, stderr} = await kvfio(argv, {patience: milliseconds});
  return {exit, stdout, why: signal ?? stderr};
};

/** One kvfio that stays (resident.js). */
export class Resident implements Disposable {
  readonly #child = spawn(process.execPath, [join(PROJECT, 'test/zoo/resident.js')], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: {PATH: process.env['PATH'] ?? '', HOME: '/dev/null'},
  });
  readonly #answers = createInterface(this.#child.stdout)[Symbol.asyncIterator]();

  readonly run: Kvfio = async (argv, milliseconds) => {
    this.#child.stdin.write(`${JSON.stringify(argv)}\n`);
    const answer: IteratorResult<string, unknown> = await within(this.#answers.next(), {
      ...{seconds: milliseconds / 1000, signal: undefined},
      expired: () => new Error(`kvfio ${argv.join(' ')} hung for ${milliseconds / 1000} s`),
    });
    if (answer.done === true) return {exit: null, stdout: '', why: 'kvfio has ended'};
    return {...(JSON.parse(answer.value) as Pick<KvfioEnding, 'exit' | 'stdout'>), why: ''};
  };

  [Symbol.dispose](): void {
    this.#child.kill('SIGKILL');
  }
}
