import {Deadline} from '../../linux/deadline.js';
import {ready} from '../../linux/readiness.js';

/** Aborts `signal` when nobody reads stdout any more, or when disposed of. */
export class UnreadOutput implements Disposable {
  readonly #unread = new AbortController();

  readonly #stop = (): void => {
    this.#unread.abort();
  };

  constructor() {
    process.stdout.on('close', this.#stop);
    // as long as nothing is written, a pipe shows by nothing else that it has no reader
    ready(process.stdout.fd, 0, Deadline.never, this.signal).then(this.#stop, () => undefined);
  }

  get signal(): AbortSignal {
    return this.#unread.signal;
  }

  [Symbol.dispose](): void {
    process.stdout.off('close', this.#stop);
    this.#stop();
  }
}
