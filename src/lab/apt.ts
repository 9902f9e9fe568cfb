import {runChild} from './child.js';
import {runApt, which} from './programs.js';

export interface AptParts {
  /** The PATH in which apt's programs are looked up. */
  path: string;
  signal: AbortSignal | undefined;
  /** Gets one line about what takes long. */
  onNote: (line: string) => void;
}

/** apt with one configuration: the host's, or one that the lab lays over it. */
export class Apt {
  readonly #get: string;
  readonly #cache: string;
  readonly #options: readonly string[];
  readonly #parts: AptParts;

  private constructor(get: string, cache: string, parts: AptParts, options: readonly string[]) {
    this.#get = get;
    this.#cache = cache;
    this.#parts = parts;
    this.#options = options;
  }

  /** The host's own apt, or null where it has none. */
  static ofHost(parts: AptParts): Apt | null {
    const [get, cache] = [which('apt-get', parts.path), which('apt-cache', parts.path)];
    return get === null || cache === null ? null : new Apt(get, cache, parts, []);
  }

  /** An apt of the same programs with further options. */
  with(options: readonly string[]): Apt {
    return new Apt(this.#get, this.#cache, this.#parts, [...this.#options, ...options]);
  }

  /** What apt-cache answers; empty where it refuses. */
  async ask(...args: string[]): Promise<string> {
    return (await runChild(this.#cache, [...this.#options, ...args], this.#parts)).stdout;
  }

  /** What apt-get answers to a question; empty where it refuses. */
  async query(...args: string[]): Promise<string> {
    return (await runChild(this.#get, [...this.#options, ...args], this.#parts)).stdout;
  }

  async update(): Promise<void> {
    await this.#run(['update', '-q']);
  }

  /** Downloads packages, each `NAME=VERSION`, into a folder. */
  async download(packages: string[], folder: string): Promise<void> {
    await this.#run(['download', '-q', ...packages], folder);
  }

  async #run(args: string[], cwd = '/'): Promise<void> {
    await runApt(this.#get, args, {...this.#parts, options: this.#options, cwd});
  }
}
