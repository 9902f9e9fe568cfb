import {join} from 'node:path';
import {PassThrough} from 'node:stream';
import {runLab} from '../../src/lab/lab.js';
import {KVFIO, whyNoLab} from '../support/lab.js';
import {mayInstall} from '../support/programs.js';
import {PROJECT} from '../support/run.js';
import {COMPILED} from './compiled.js';
import {Conversation, type FileResult} from './conversation.js';
import type {Request} from './protocol.js';

/** How many times longer than on a host tests may take in an emulated guest. */
const SLOWNESS = 10;

/** How much of what is tried at random is tried in the guest. */
const SCALE = process.env['KVFIO_TEST_SCALE'] ?? '0.2';

/**
 * Milliseconds without a result after which a guest is given up; no test there takes half as long. A thread that the kernel does not
 * let go is beyond mocha's limits.
 */
const SILENCE = 15 * 60_000;

export interface GuestOptions {
  /** The guest's kernel, as `kvfio lab --kernel` takes it. */
  kernel: string;
  /** Compiles the files that the guest may be asked for. */
  compile: () => Promise<void>;
}

/** A guest of the lab that boots, or runs files. */
interface Guest {
  input: PassThrough;
  conversation: Conversation;
  /** Ends when the guest does. Never rejects. */
  ended: Promise<void>;
  /** Gives the guest up when it has been silent for {@link SILENCE}; from now on anew. */
  listen: () => void;
}

/**
 * Runs files of tests in a guest of the lab, which has KVM and is root. It boots when the first file comes, and is replaced when a
 * test ends it.
 */
export class GuestWorker {
  readonly #options: GuestOptions;
  #current: Guest | undefined;
  #whyNone: string | undefined;

  constructor(options: GuestOptions) {
    this.#options = options;
  }

  /** Why this machine cannot have the lab, known when a file is through. */
  get whyNone(): string | undefined {
    return this.#whyNone;
  }

  run(request: Request): Promise<FileResult> {
    const isOver = this.#current?.conversation.isOver ?? true;
    const guest = isOver && this.#whyNone === undefined ? this.#boot() : (this.#current ?? this.#boot());
    this.#current = guest;
    guest.listen();
    return guest.conversation.run(request);
  }

  async close(): Promise<void> {
    this.#current?.input.end();
    await this.#current?.ended;
  }

  #boot(): Guest {
    const {kernel, compile} = this.#options;
    const input = new PassThrough();
    const conversation = new Conversation((line) => void input.write(line), `Linux ${kernel} in the lab`);
    const giveUp = new AbortController();
    let silence: NodeJS.Timeout | undefined;
    const listen = (): void => {
      clearTimeout(silence);
      silence = setTimeout(() => {
        conversation.over(`the guest was silent for ${SILENCE / 60_000} minutes`);
        giveUp.abort();
      }, SILENCE);
    };
    const decoder = new TextDecoder();
    const streams = {
      stdin: input,
      stdout: (data: Buffer) => {
        listen();
        conversation.receive(decoder.decode(data, {stream: true}));
        if (conversation.isIdle) clearTimeout(silence);
      },
      stderr: (data: Buffer) => {
        conversation.noise(data.toString());
      },
    };
    const run = async (): Promise<void> => {
      try {
        await compile();
        const {exitCode} = await runLab({
          kernel,
          kvfio: KVFIO,
          install: mayInstall(),
          cwd: PROJECT,
          signal: giveUp.signal,
          // programs of the tests start sources by tsx, whose cache would be a link to the host's in /tmp
          task: {
            script: `mkdir /tmp/kvfio-guest && TMPDIR=/tmp/kvfio-guest exec ${COMMAND} 3<&0 < /dev/null`,
          },
          streams,
        });
        conversation.over(`the worker in the guest ended with ${exitCode}`);
      } catch (error) {
        this.#whyNone = whyNoLab(error);
        conversation.over(this.#whyNone ?? `the guest is gone: ${String(error)}`);
      } finally {
        clearTimeout(silence);
      }
    };
    return {input, conversation, ended: run(), listen};
  }
}

const VARIABLES = {
  KVFIO_TEST_BUILT: '1',
  KVFIO_TEST_COMPILED: COMPILED,
  KVFIO_TEST_SCALE: SCALE,
  KVFIO_TEST_SLOWNESS: String(SLOWNESS),
};

const COMMAND = [
  'env',
  ...Object.entries(VARIABLES).map(([name, value]) => `'${name}=${value}'`),
  `'${process.execPath}'`,
  '--enable-source-maps',
  `'${join(COMPILED, 'test/run/worker.mjs')}'`,
].join(' ');
