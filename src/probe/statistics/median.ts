import {countBelow, quantile} from './quantile.js';
import {Random} from './random.js';
import {sectionsOf} from './sections.js';
import {NORMAL_95} from './student.js';

/** The median, and what it might as well have been: the same kind of run, taken again and again. */
export interface MedianEstimate {
  median: number;
  /** {@link REPLICATES} medians, upwards; none for a single sample. */
  replicates: number[];
  /** The run drifts, which the replicates allow for: see {@link sectionsOf}. */
  drifting: boolean;
}

/** Enough for the limits of an interval, and few enough for a document. */
export const REPLICATES = 200;

/**
 * A block bootstrap: each replicate is the exact median of as many sections as the run has, drawn with replacement. A
 * section stays whole, so that samples keep their neighbours. Resamples of sections vary too little when there are few of
 * them or neighbours resemble each other; they are spread by that factor (after Hesterberg's expanded percentile interval).
 *
 * The samples are sorted once and remember their sections; a replicate then is a search in weighted counts. So the cost
 * is that of sorting, and 13 bytes of memory for each sample.
 *
 * @param ticks - at least one sample, in the order taken
 * @param sorted - the same, upwards
 */
export const estimateMedian = (ticks: Float64Array, sorted: Float64Array, seed = 1): MedianEstimate => {
  const median = quantile(sorted, 0.5);
  if (ticks.length < 2) return {median, replicates: [], drifting: false};
  const {bounds, error, unrelatedError, reach, drifting} = sectionsOf(ticks.length, (start, end) => {
    let signs = 0;
    for (let index = start; index < end; index += 1) signs += Math.sign((ticks[index] ?? 0) - median);
    return signs / (end - start);
  });
  const resampler = new Resampler(ticks, sorted, bounds, new Random(seed));
  const medians = new Float64Array(DRAWN);
  for (let draw = 0; draw < DRAWN; draw += 1) medians[draw] = resampler.median();
  medians.sort();
  const {sections} = resampler;
  const related = unrelatedError > 0 ? error / unrelatedError : 1;
  const widen = related * (reach / NORMAL_95) * Math.sqrt(sections / (sections - 1));
  const replicates = Array.from({length: REPLICATES}, (_, index) => {
    const replicate = quantile(medians, (index + 0.5) / REPLICATES);
    return median + (replicate - median) * widen;
  });
  return {median, replicates, drifting};
};

/** Resamples of which {@link REPLICATES} are kept as their quantiles. */
const DRAWN = 600;

/** Sorted samples are counted in this many steps, by section. */
const STEPS = 512;

class Resampler {
  readonly sections: number;
  readonly #lengths: number[];
  readonly #sorted: Float64Array;
  readonly #random: Random;
  /** The section of each sorted sample. */
  readonly #section: Uint8Array;
  /** Row by row: how many samples of each section precede the step. */
  readonly #counts: Uint32Array;
  readonly #step: number;
  readonly #weights: Uint32Array;

  constructor(ticks: Float64Array, sorted: Float64Array, bounds: readonly number[], random: Random) {
    this.sections = bounds.length - 1;
    this.#lengths = bounds.slice(1).map((end, index) => end - (bounds[index] ?? 0));
    this.#sorted = sorted;
    this.#random = random;
    this.#weights = new Uint32Array(this.sections);
    this.#section = sectionOfEach(ticks, sorted, bounds);
    this.#step = Math.ceil(ticks.length / STEPS);
    this.#counts = this.#countByStep();
  }

  /** The median of a new resample. */
  median(): number {
    const weights = this.#weights.fill(0);
    let size = 0;
    for (let draw = 0; draw < this.sections; draw += 1) {
      const section = this.#random.below(this.sections);
      weights[section] = (weights[section] ?? 0) + 1;
      size += this.#lengths[section] ?? 0;
    }
    const lower = this.#atRank(Math.floor((size - 1) / 2));
    return size % 2 === 1 ? lower : (lower + this.#atRank(size / 2)) / 2;
  }

  /** The value with `rank` values of the resample before it. */
  #atRank(rank: number): number {
    let low = 0;
    let high = Math.floor((this.#sorted.length - 1) / this.#step);
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (this.#before(middle) <= rank) low = middle;
      else high = middle - 1;
    }
    let before = this.#before(low);
    for (let index = low * this.#step; index < this.#sorted.length; index += 1) {
      before += this.#weights[this.#section[index] ?? 0] ?? 0;
      if (before > rank) return this.#sorted[index] ?? NaN;
    }
    throw new RangeError('a rank beyond the resample');
  }

  #before(step: number): number {
    let sum = 0;
    for (let section = 0; section < this.sections; section += 1)
      sum += (this.#weights[section] ?? 0) * (this.#counts[step * this.sections + section] ?? 0);
    return sum;
  }

  #countByStep(): Uint32Array {
    const rows = Math.floor((this.#sorted.length - 1) / this.#step) + 1;
    const counts = new Uint32Array(rows * this.sections);
    const sums = new Uint32Array(this.sections);
    for (let index = 0; index < this.#section.length; index += 1) {
      if (index % this.#step === 0) counts.set(sums, (index / this.#step) * this.sections);
      const section = this.#section[index] ?? 0;
      sums[section] = (sums[section] ?? 0) + 1;
    }
    return counts;
  }
}

const sectionOfEach = (ticks: Float64Array, sorted: Float64Array, bounds: readonly number[]): Uint8Array => {
  const result = new Uint8Array(ticks.length);
  // equal samples share a place, and take the ones after it in turn
  const taken = new Uint32Array(ticks.length);
  for (let section = 0; section < bounds.length - 1; section += 1) {
    for (let index = bounds[section] ?? 0; index < (bounds[section + 1] ?? 0); index += 1) {
      const place = countBelow(sorted, ticks[index] ?? 0);
      const next = taken[place] ?? 0;
      taken[place] = next + 1;
      result[place + next] = section;
    }
  }
  return result;
};
