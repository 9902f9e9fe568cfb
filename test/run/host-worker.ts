import {spawn, type ChildProcess} from 'node:child_process';
import {once} from 'node:events';
import {join} from 'node:path';
import type {Writable} from 'node:stream';
import {PROJECT} from '../support/run.js';
import {Conversation, type FileResult} from './conversation.js';
import type {Request} from './protocol.js';

/** Runs files of tests on this host, one after the other, in a process that is replaced when a test ends it. */
export class HostWorker {
  readonly #env: Record<string, string>;
  #current: {child: ChildProcess; conversation: Conversation} | undefined;

  /** @param env - variables for the tests, beside the runner's own */
  constructor(env: Record<string, string>) {
    this.#env = env;
  }

  run(request: Request): Promise<FileResult> {
    if (this.#current === undefined || this.#current.conversation.isOver) this.#current = this.#start();
    return this.#current.conversation.run(request);
  }

  async close(): Promise<void> {
    const child = this.#current?.child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    (child.stdio[3] as Writable).end();
    await ended;
  }

  #start(): {child: ChildProcess; conversation: Conversation} {
    const child = spawn(process.execPath, ['--import', 'tsx', join(PROJECT, 'test/run/worker.ts')], {
      cwd: PROJECT,
      env: {...process.env, ...this.#env},
      stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    });
    const requests = child.stdio[3] as Writable;
    const conversation = new Conversation((line) => void requests.write(line), '');
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      conversation.receive(text);
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      conversation.noise(text);
    });
    // a worker that has ended says so by its exit
    requests.on('error', () => undefined);
    child.once('close', (code, signal) => {
      conversation.over(`the process that ran it ended with ${signal ?? code ?? 'nothing'}`);
    });
    child.once('error', (error) => {
      conversation.over(String(error));
    });
    return {child, conversation};
  }
}
