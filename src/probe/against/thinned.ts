/**
 * Values in the order they came, of which every second, then every fourth and so on is kept when there are too many: the
 * memory is bounded, and those that are kept are spread over the whole time.
 */
export class Thinned {
  readonly #limit: number;
  #kept: number[] = [];
  #stride = 1;
  #count = 0;

  constructor(limit = 200_000) {
    this.#limit = limit;
  }

  add(value: number): void {
    if (this.#count % this.#stride === 0) {
      if (this.#kept.length === this.#limit) {
        this.#kept = this.#kept.filter((_, index) => index % 2 === 0);
        this.#stride *= 2;
      }
      if (this.#count % this.#stride === 0) this.#kept.push(value);
    }
    this.#count += 1;
  }

  /** How many there were. */
  get count(): number {
    return this.#count;
  }

  get kept(): Float64Array {
    return Float64Array.from(this.#kept);
  }
}
