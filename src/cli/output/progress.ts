/** One line on stderr that is written over itself, when stderr is a terminal; nothing otherwise. */
export class Progress implements Disposable {
  #shown = false;
  #next = 0;

  /** Shows a line unless another one has just been shown. */
  show(line: () => string): void {
    const now = performance.now();
    if (!process.stderr.isTTY || now < this.#next) return;
    this.#next = now + INTERVAL;
    this.#shown = true;
    process.stderr.write(`\r\x1b[K${line()}`);
  }

  /** Makes room for other lines. */
  clear(): void {
    if (this.#shown) process.stderr.write('\r\x1b[K');
    this.#shown = false;
  }

  [Symbol.dispose](): void {
    this.clear();
  }
}

/** Milliseconds between two lines. */
const INTERVAL = 100;
