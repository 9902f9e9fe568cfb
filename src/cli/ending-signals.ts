import {ENDING_SIGNALS} from '../linux/hold-signals.js';

/** Turns the signals that ask for an end into an aborted `signal`, until disposed of. */
export class EndingSignals implements Disposable {
  readonly #ending = new AbortController();
  readonly #stop = (): void => {
    this.#ending.abort();
  };

  constructor() {
    for (const signal of ENDING_SIGNALS) process.on(signal, this.#stop);
  }

  get signal(): AbortSignal {
    return this.#ending.signal;
  }

  [Symbol.dispose](): void {
    for (const signal of ENDING_SIGNALS) process.off(signal, this.#stop);
  }
}
