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

/** Seconds that the guest may take for all files together. */
const LIMIT = 5400;

export interface GuestOptions {
  /** The guest's kernel, as `kvfio lab --kernel` takes it. */
  kernel: string;
  /** Compiles the files that the guest may be asked for. */
  compile: () => Promise<void>;
}

/** Runs files of tests in one guest of the lab, which has KVM and is root; it boots when the first file comes. */
export class GuestWorker {
  readonly #options: GuestOptions;
  readonly #input = new PassThrough();
  readonly #conversation: Conversation;
  #lab: Promise<void> | undefined;
  #whyNone: string | undefined;

  constructor(options: GuestOptions) {
    this.#options = options;
    this.#conversation = new Conversation(
      (line) => void this.#input.write(line),
      `Linux ${options.kernel} in the lab`,
    );
  }

  /** Why this machine cannot have the lab, known when a file is through. */
  get whyNone(): string | undefined {
    return this.#whyNone;
  }

  run(request: Request): Promise<FileResult> {
    this.#lab ??= this.#boot();
    return this.#conversation.run(request);
  }

  async close(): Promise<void> {
    this.#input.end();
    await this.#lab;
  }

  async #boot(): Promise<void> {
    const {kernel, compile} = this.#options;
    const decoder = new TextDecoder();
    try {
      await compile();
      const {exitCode} = await runLab({
        kernel,
        kvfio: KVFIO,
        install: mayInstall(),
        cwd: PROJECT,
        limit: LIMIT,
        // programs of the tests start sources by tsx, whose cache would be a link to the host's in /tmp
        task: {script: `mkdir /tmp/kvfio-guest && TMPDIR=/tmp/kvfio-guest exec ${COMMAND} 3<&0 < /dev/null`},
        streams: {
          stdin: this.#input,
          stdout: (data) => {
            this.#conversation.receive(decoder.decode(data, {stream: true}));
          },
          stderr: (data) => {
            this.#conversation.noise(data.toString());
          },
        },
      });
      this.#conversation.over(`the worker in the guest ended with ${exitCode}`);
    } catch (error) {
      this.#whyNone = whyNoLab(error);
      this.#conversation.over(this.#whyNone ?? `the guest is gone: ${String(error)}`);
    }
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
