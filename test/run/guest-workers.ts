import {compileTests} from './compiled.js';
import type {FileResult} from './conversation.js';
import {GuestWorker} from './guest-worker.js';
import type {Request} from './protocol.js';

export interface GuestsOptions {
  /** How many guests may run at once. */
  count: number;
  /** The guests' kernel, as `kvfio lab --kernel` takes it. */
  kernel: string;
  /** The files that the guests may be asked for. */
  files: readonly string[];
}

/** What became of a file in a guest, and why this machine can have no guest, where it cannot. */
export interface GuestResult {
  found: FileResult;
  whyNone: string | undefined;
}

/** Guests of the lab that share files: each takes the next one when it is through with its own. One boots when all others are busy. */
export class GuestWorkers {
  readonly #all: readonly GuestWorker[];
  readonly #idle: GuestWorker[];
  readonly #waiting: {request: Request; resolve: (result: GuestResult) => void}[] = [];

  constructor({count, kernel, files}: GuestsOptions) {
    let compiled: Promise<void> | undefined;
    const compile = (): Promise<void> => (compiled ??= compileTests(files));
    this.#all = Array.from({length: count}, () => new GuestWorker({kernel, compile}));
    this.#idle = [...this.#all];
  }

  run(request: Request): Promise<GuestResult> {
    return new Promise((resolve) => {
      this.#waiting.push({request, resolve});
      this.#next();
    });
  }

  async close(): Promise<void> {
    await Promise.all(this.#all.map((worker) => worker.close()));
  }

  #next(): void {
    const [worker] = this.#idle;
    const [next] = this.#waiting;
    if (worker === undefined || next === undefined) return;
    this.#idle.shift();
    this.#waiting.shift();
    void worker.run(next.request).then((found) => {
      // first, as it has booted
      this.#idle.unshift(worker);
      next.resolve({found, whyNone: worker.whyNone});
      this.#next();
    });
  }
}
