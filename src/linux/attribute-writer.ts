import {spawn, type ChildProcess} from 'node:child_process';
import {once} from 'node:events';
import {createInterface, type Interface} from 'node:readline';
import {Readable, Writable} from 'node:stream';
import {callLog} from './call-log.js';
import type {Descriptor} from './descriptor.js';
import {errnoName, SyscallError} from './errno.js';
import {ENDING_SIGNALS} from './hold-signals.js';

/** Writes attributes of sysfs. */
export interface AttributeWriter {
  /**
   * One write(2) of the whole text to a file that exists.
   *
   * @throws {@link SyscallError} with the path
   * @throws {@link StuckWrite} when the kernel has not come back from it
   */
  write(path: string, text: string): Promise<void>;
}

/** A write that the kernel is still busy with. Nobody can take it back: the process that makes it cannot be killed. */
export class StuckWrite extends Error {
  readonly path: string;
  /** The process that waits in the kernel. */
  readonly pid: number;
  readonly seconds: number;

  constructor(path: string, pid: number, seconds: number) {
    super(`write ${path}: no answer for ${seconds} s`);
    this.name = 'StuckWrite';
    this.path = path;
    this.pid = pid;
    this.seconds = seconds;
  }
}

/**
 * Writes from a process of its own. A write that unbinds a driver waits in the kernel, uninterruptibly, until the driver
 * lets go of the device, and so may never come back (drivers/base/bus.c, unbind_store; drivers/vfio/vfio_main.c,
 * vfio_unregister_group_dev). A thread that hangs there would keep kvfio itself from ending.
 *
 * Signals from the terminal do not reach the process, and it ends when kvfio does, after the write that it is busy with.
 */
export class DetachedWriter implements AttributeWriter, AsyncDisposable {
  readonly #seconds: number;
  readonly #inherit: readonly Descriptor[];
  #process: WritingProcess | null = null;

  /**
   * @param options.seconds how long a write may take
   * @param options.inherit what the process keeps open until its last write is over, such as a lock
   */
  constructor({seconds, inherit}: {seconds: number; inherit: readonly Descriptor[]}) {
    this.#seconds = seconds;
    this.#inherit = inherit;
  }

  async write(path: string, text: string): Promise<void> {
    const writer = (this.#process ??= await WritingProcess.start(this.#inherit));
    const errno = await writer.ask({path, text}, this.#seconds);
    callLog?.tell(
      `write ${path} = ${errno === null ? 'no answer' : errno === 0 ? JSON.stringify(text) : errnoName(errno)}, by process ${writer.pid}`,
    );
    if (errno === null) {
      this.#process = null;
      writer.abandon();
      throw new StuckWrite(path, writer.pid, this.#seconds);
    }
    if (errno !== 0) throw new SyscallError('write', errno, path);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process?.end();
  }
}

class WritingProcess {
  readonly pid: number;
  readonly #child: ChildProcess;
  readonly #input: Writable;
  readonly #lines: Interface;

  private constructor(child: ChildProcess, input: Writable, output: Readable) {
    this.#child = child;
    this.#input = input;
    this.#lines = createInterface({input: output});
    this.pid = child.pid ?? -1;
    // its end shows as an answer that does not come
    input.on('error', () => undefined);
  }

  static async start(inherit: readonly Descriptor[]): Promise<WritingProcess> {
    const child = spawn(process.execPath, ['-e', PROGRAM], {
      cwd: '/',
      env: {},
      detached: true,
      stdio: ['pipe', 'pipe', 'ignore', ...inherit.map(({fd}) => fd)],
    });
    if (!(child.stdin instanceof Writable && child.stdout instanceof Readable))
      throw new Error('the process that writes to sysfs has no pipes');
    const started = new WritingProcess(child, child.stdin, child.stdout);
    await started.#answer();
    return started;
  }

  /** The error number, 0 for none; null when there is no answer in time. */
  async ask(request: {path: string; text: string}, seconds: number): Promise<number | null> {
    const answer = this.#answer();
    this.#input.write(`${JSON.stringify(request)}\n`);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<null>((resolve) => {
      timer = setTimeout(resolve, seconds * 1000, null);
    });
    // it may come, or fail, when nobody waits any more
    answer.catch(() => undefined);
    try {
      return await Promise.race([answer, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  async end(): Promise<void> {
    this.#input.end();
    const {exitCode, signalCode} = this.#child;
    if (exitCode === null && signalCode === null) await once(this.#child, 'exit');
  }

  /** Lets this process end while that one cannot. */
  abandon(): void {
    this.#input.end();
    this.#lines.close();
    this.#child.stdout?.destroy();
    this.#child.unref();
  }

  async #answer(): Promise<number> {
    const answered = new AbortController();
    const {signal} = answered;
    try {
      const [line] = (await Promise.race([
        once(this.#lines, 'line', {signal}),
        once(this.#child, 'exit', {signal}).then(() => {
          throw new Error('the process that writes to sysfs has ended');
        }),
      ])) as [string];
      return Number(line);
    } finally {
      answered.abort();
    }
  }
}

/** Reads requests line by line and answers each with an error number, 0 for none; the first 0 says that it is there. */
const PROGRAM = `
const {closeSync, constants, openSync, writeSync} = require('node:fs');
for (const signal of ${JSON.stringify(ENDING_SIGNALS)}) process.on(signal, () => undefined);
process.stdout.on('error', () => process.exit());
const answer = (errno) => process.stdout.write(errno + '\\n');
const write = ({path, text}) => {
  try {
    const fd = openSync(path, constants.O_WRONLY);
    try {
      writeSync(fd, text);
    } finally {
      closeSync(fd);
    }
    return 0;
  } catch (error) {
    return -error.errno;
  }
};
require('node:readline').createInterface({input: process.stdin}).on('line', (line) => answer(write(JSON.parse(line))));
answer(0);
`;
