import {countBelow, quantile} from './quantile.js';

/** How many samples are in each of neighbouring ranges. */
export interface Histogram {
  /** How the ranges grow: by the same difference, or by the same factor. The last may be longer. */
  scale: 'linear' | 'log';
  /** Edges of the ranges in ticks, upwards, one more than there are counts. A range has its lower edge, the last one both. */
  edges: number[];
  counts: number[];
}

/**
 * At most `wanted` ranges, and one for the rest.
 *
 * They are of equal length up to the 99th percentile, and the rest is in one range. Where the 99th percentile is
 * {@link WIDE} times the minimum, because a few in a hundred samples are far above the others, a lower one takes its place; where
 * even the lowest of {@link BULK} is so far, they grow by a factor, up to the maximum. No range is shorter than the step in which
 * the counter of this machine counts, for then every other would be empty.
 *
 * @param sorted - at least one sample, upwards
 */
export const histogramOf = (sorted: Float64Array, wanted: number): Histogram => {
  const min = quantile(sorted, 0);
  const max = quantile(sorted, 1);
  const isNear = (value: number): boolean => min <= 0 || value / min < WIDE;
  const most = BULK.map((share) => quantile(sorted, share)).find(isNear);
  const step = commonStep(sorted);
  const scale = most === undefined ? 'log' : 'linear';
  const inner =
    most === undefined ? factorEdges(min, max, step, wanted) : equalEdges(min, most, step, wanted);
  const edges = [...inner.filter((edge) => edge < max), max];
  if (edges.length === 1) edges.unshift(min);
  const below = edges.map((edge, index) =>
    index === edges.length - 1 ? sorted.length : countBelow(sorted, edge),
  );
  return {scale, edges, counts: below.slice(1).map((count, index) => count - (below[index] ?? 0))};
};

const WIDE = 8;

/** Up to which quantile ranges are of equal length, the best first. */
const BULK = [0.99, 0.975, 0.95, 0.9];

/** Joins neighbouring ranges until at most `limit` are left, and one that is longer, or shorter, than the others. */
export const coarser = ({scale, edges, counts}: Histogram, limit: number): Histogram => {
  const group = Math.ceil((counts.length - 1) / limit);
  if (group < 2) return {scale, edges, counts};
  const whole = Math.floor((counts.length - 1) / group) * group;
  const starts = Array.from({length: whole / group + 1}, (_, index) => index * group);
  return {
    scale,
    edges: [...starts.map((start) => edges[start] ?? 0), edges.at(-1) ?? 0],
    counts: starts.map((start) => sum(counts.slice(start, start === whole ? undefined : start + group))),
  };
};

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

const equalEdges = (min: number, most: number, step: number, wanted: number): number[] => {
  const width = step * Math.max(1, Math.ceil((most - min) / wanted / step));
  // the 99th percentile is in the last of them
  const count = Math.floor((most - min) / width) + 1;
  return Array.from({length: count + 1}, (_, index) => min + index * width);
};

const factorEdges = (min: number, max: number, step: number, wanted: number): number[] => {
  const edges = [min];
  for (let index = 1; index < wanted; index += 1) {
    const edge = min + Math.ceil((min * ((max / min) ** (index / wanted) - 1)) / step) * step;
    if (edge > (edges.at(-1) ?? 0)) edges.push(edge);
  }
  return edges;
};

/** The largest number of ticks of which all differences between samples are multiples; a tiny one when they are not whole. */
const commonStep = (sorted: Float64Array): number => {
  const min = sorted[0] ?? 0;
  let step = 0;
  let previous = min;
  for (const value of sorted) {
    if (value === previous) continue;
    previous = value;
    if (!Number.isInteger(value - min)) return Number.EPSILON * Math.max(1, Math.abs(value));
    step = divisor(value - min, step);
    if (step === 1) break;
  }
  return step === 0 ? 1 : step;
};

const divisor = (a: number, b: number): number => (b === 0 ? a : divisor(b, a % b));
