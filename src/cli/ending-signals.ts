import {ENDING_SIGNALS} from '../linux/hold-signals.js';

export interface EndingOptions {
  /** Whether the second signal ends the process as usual. Otherwise all that come are forgotten until disposed of. */
  onlyFirst?: boolean;
  /** Gets each that comes. */
  onEach?: (signal: NodeJS.Signals) => void;
}

/** Turns the signals that ask for an end into an aborted `signal`, until disposed of. */
export class EndingSignals implements Disposable {
  readonly #ending = new AbortController();
  #received: NodeJS.Signals | null = null;

  readonly #receive: (signal: NodeJS.Signals) => void;

  constructor({onlyFirst = false, onEach}: EndingOptions = {}) {
    this.#receive = (signal) => {
      this.#received = signal;
      if (onlyFirst) this[Symbol.dispose]();
      this.#ending.abort();
      onEach?.(signal);
    };
    for (const signal of ENDING_SIGNALS) process.on(signal, this.#receive);
  }

  get signal(): AbortSignal {
    return this.#ending.signal;
  }

  /** The last one; null before any. */
  get received(): NodeJS.Signals | null {
    return this.#received;
  }

  /** Ends the process as the signal that came would have, so that a shell sees how it ended. For `onlyFirst`. */
  endAsReceived(): void {
    if (this.#received !== null) process.kill(process.pid, this.#received);
  }

  [Symbol.dispose](): void {
    for (const signal of ENDING_SIGNALS) process.off(signal, this.#receive);
  }
}
