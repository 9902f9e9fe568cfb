import {Random} from '../../src/probe/statistics/random.js';

/** Sources of samples whose truth is known, and that are the same each time. */
export class Source {
  readonly #random: Random;

  constructor(seed: number) {
    this.#random = new Random(seed);
  }

  fraction(): number {
    return this.#random.fraction();
  }

  normal(): number {
    return Math.sqrt(-2 * Math.log(1 - this.fraction())) * Math.cos(2 * Math.PI * this.fraction());
  }

  /** Unrelated samples: mean and median 0. */
  unrelated(count: number): Float64Array {
    return new Float64Array(count).map(() => this.normal());
  }

  /** Exponentially distributed: mean 1, median ln 2. */
  skewed(count: number): Float64Array {
    return new Float64Array(count).map(() => -Math.log(1 - this.fraction()));
  }

  /** Each is like the one before (AR(1)): mean and median 0. */
  related(count: number, likeness: number): Float64Array {
    let value = this.normal() / Math.sqrt(1 - likeness ** 2);
    return new Float64Array(count).map(() => (value = likeness * value + this.normal()));
  }

  /** Noise of all wavelengths up to more than thousand samples, each as strong as the next. */
  flickering(count: number): Float64Array {
    const waves = [0, 0.7, 0.93, 0.98, 0.995, 0.999].map((likeness) => ({likeness, level: this.normal()}));
    return new Float64Array(count).map(() =>
      waves.reduce((sum, wave) => {
        wave.level = wave.likeness * wave.level + Math.sqrt(1 - wave.likeness ** 2) * this.normal();
        return sum + wave.level;
      }, 0),
    );
  }

  /** Whole ticks in steps of 26 above 3900, as of an exit. */
  ticks(count: number): Float64Array {
    return new Float64Array(count).map(() => 3900 + 26 * Math.round(8 * Math.abs(this.normal())));
  }
}
