import {PassThrough} from 'node:stream';
import {runLab, type LabOptions} from '../../src/lab/lab.js';
import {shellQuote} from '../../src/lab/shell-quote.js';
import {within} from '../../src/lab/within.js';
import {KVFIO} from './lab.js';

/** How a command ended in the guest. */
export interface GuestEnding {
  status: number;
  /** What it wrote to stdout and stderr, as it came. */
  output: string;
}

/** Runs what each line says, and then writes a line of its own. */
const SCRIPT = `
while IFS= read -r command; do
  sh -c "$command" < /dev/null 2>&1
  printf '\\n\\001ended %s\\n' $?
done
`;
const END = /\n\u0001ended (\d+)\n/;

/** Seconds; a boot takes 15 on a quiet machine. */
const BOOT_LIMIT = 600;

/** A guest of the lab that runs one command after the other, because its boot takes longer than most of them. */
export class GuestShell implements AsyncDisposable {
  readonly #input = new PassThrough();
  readonly #over = new AbortController();
  readonly #guest: Promise<unknown>;
  readonly #decoder = new TextDecoder();
  #output = '';
  #heard = (): void => undefined;

  private constructor(options: Pick<LabOptions, 'kernel' | 'install'>) {
    this.#guest = runLab({
      ...options,
      kvfio: KVFIO,
      task: {script: SCRIPT},
      bootLimit: BOOT_LIMIT,
      signal: this.#over.signal,
      streams: {
        stdin: this.#input,
        stdout: (data) => {
          this.#output += this.#decoder.decode(data, {stream: true});
          this.#heard();
        },
        stderr: () => undefined,
      },
    });
    // `run` reports it
    this.#guest.catch(() => undefined);
  }

  /** @throws Failure when there can be no guest, or it does not boot */
  static async boot(options: Pick<LabOptions, 'kernel' | 'install'>): Promise<GuestShell> {
    const guest = new GuestShell(options);
    await guest.run(['true']);
    return guest;
  }

  /**
   * Runs a command to its end.
   *
   * @param argv - without line ends
   * @param seconds - that it may take
   * @param heard - is told all that the command has written so far, each time that there is more
   * @throws Error when it takes longer, or the guest ends under it; the guest is of no use any more
   */
  async run(
    argv: readonly string[],
    seconds?: number,
    heard?: (output: string) => void,
  ): Promise<GuestEnding> {
    const ended = new Promise<GuestEnding>((resolve) => {
      this.#heard = () => {
        heard?.(this.#output);
        const [line, status] = END.exec(this.#output) ?? [];
        if (line === undefined) return;
        const [output = ''] = this.#output.split(line, 1);
        this.#output = '';
        resolve({status: Number(status), output});
      };
    });
    const gone = this.#guest.then(() => {
      throw new Error('the guest ended');
    });
    this.#input.write(`${argv.map(shellQuote).join(' ')}\n`);
    return within(Promise.race([ended, gone]), {
      seconds,
      expired: () => new Error(`it did not end within ${seconds ?? 0} s: ${this.#output}`),
      signal: undefined,
    });
  }

  /** What the command that runs has written so far. */
  get output(): string {
    return this.#output;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over.abort();
    await this.#guest.catch(() => undefined);
  }
}
