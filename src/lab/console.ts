import {StringDecoder} from 'node:string_decoder';

/** How many lines of the guest's console are kept for a failure's report. */
const KEPT = 15;

/** The last lines of the guest's console. */
export class Console {
  readonly #decoder = new StringDecoder('utf8');
  readonly #onLine: (line: string) => void;
  #lines: string[] = [];
  #panic: string | null = null;
  #rest = '';

  /** @param onLine receives each complete line as it comes; the line may hold any character but a line feed */
  constructor(onLine: (line: string) => void) {
    this.#onLine = onLine;
  }

  add(data: Buffer): void {
    const lines = (this.#rest + this.#decoder.write(data)).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines.map((text) => text.replace(/\r$/, ''))) {
      this.#onLine(line);
      if (line.includes('Kernel panic')) this.#panic ??= line;
      this.#lines = [...this.#lines, line].slice(-KEPT);
    }
  }

  /** The line in which the kernel said that it panicked, or null where it did not. */
  get panic(): string | null {
    return this.#panic;
  }

  /** The last lines that say something, the unfinished one included. */
  get tail(): string[] {
    return [...this.#lines, this.#rest].map((line) => line.trimEnd()).filter((line) => line !== '');
  }
}
