/** A moment on the monotonic clock by which something must have happened. */
export class Deadline {
  readonly #at: number;

  private constructor(at: number) {
    this.#at = at;
  }

  static after(milliseconds: number): Deadline {
    return new Deadline(performance.now() + milliseconds);
  }

  static readonly never = new Deadline(Infinity);

  /** The earlier one of two. */
  or(other: Deadline): Deadline {
    return this.#at <= other.#at ? this : other;
  }

  get passed(): boolean {
    return performance.now() >= this.#at;
  }

  /** Whole milliseconds that are left, rounded up, but not more than `most`. */
  remaining(most: number): number {
    return Math.max(0, Math.min(most, Math.ceil(this.#at - performance.now())));
  }
}
