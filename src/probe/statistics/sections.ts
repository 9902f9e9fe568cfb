import {student95} from './student.js';

/**
 * How far a run may be off, from what differs between sections of it.
 *
 * Samples that are taken one after the other resemble each other, and on many hosts so do tenths of a second and whole
 * seconds: the clock of the processor changes, neighbours become busy, the noise has no longest wave. A run that is cut into 40
 * sections then says less than 40 unrelated values would, and how much less is seen by cutting it more coarsely, too: the
 * variance between sections falls with their length when samples are unrelated, stays when noise is of all wavelengths, and
 * grows when the level drifts. The fall is extended from the lengths seen to the whole run.
 */
export interface Sections {
  /** Index of each section's first sample, and last the end of the last section. Their lengths differ by one at most. */
  bounds: number[];
  /** Standard error of the whole run's value, in the unit of `valueOf`. */
  error: number;
  /** What it would be if the sections were unrelated. */
  unrelatedError: number;
  /** Factor by which the error is multiplied for an interval of 95 %. */
  reach: number;
  /** Longer sections do not differ less than short ones: to measure longer would not make the interval narrower. */
  drifting: boolean;
}

/**
 * @param count - of samples, at least two
 * @param valueOf - what an interval is made for, of the samples from `start` to before `end`; that of a longer section has to be
 * near the mean of those of its parts
 */
export const sectionsOf = (count: number, valueOf: (start: number, end: number) => number): Sections => {
  const bounds = sectionBounds(count);
  const values = bounds.slice(1).map((end, index) => valueOf(bounds[index] ?? 0, end));
  const unrelatedError = Math.sqrt(variance(values) / values.length);
  const lengths = levelsOf(values);
  const levels = lengths.length < FEWEST_LEVELS ? [values] : lengths;
  // both estimate the same: the one sees slow drifts better, the other fast ones
  const lines = [variance, varianceOfNeighbours].flatMap(
    (varianceOf) => lineThrough(levels, varianceOf) ?? [],
  );
  const related = Math.max(UNRELATED, ...lines.map(({slope}) => slope)) - UNRELATED;
  return {
    bounds,
    error: Math.max(unrelatedError, ...lines.map(({error}) => error)),
    unrelatedError,
    reach: reachOf(levels, related),
    drifting: lines.some(({slope}) => slope > 0),
  };
};

/**
 * Unrelated sections all say how much they differ. The more they are related, the more it is the few longest ones that do, and
 * a line through what they say.
 */
const reachOf = (levels: readonly (readonly number[])[], related: number): number => {
  const [finest = 0, coarsest = 0] = [levels[0]?.length, levels.at(-1)?.length];
  if (levels.length < 2) return student95(finest - 1);
  const share = Math.min(1, related / BY_CHANCE);
  return (1 - share) * student95(finest - 1) + share * student95(coarsest - 2);
};

/** The slope of unrelated samples may be that far from -1. */
const BY_CHANCE = 0.4;

const MAX_SECTIONS = 40;
/** Fewer say too little about how much they differ. */
const FEWEST = 5;
/** Fewest levels for a line through them: two points always lie on one. */
const FEWEST_LEVELS = 3;

const sectionBounds = (count: number): number[] => {
  const sections = Math.min(count, MAX_SECTIONS);
  return Array.from({length: sections + 1}, (_, index) => Math.floor((index * count) / sections));
};

/** The values of sections, of twice as long ones, and so on. */
const levelsOf = (values: readonly number[]): (readonly number[])[] => {
  const half = Math.floor(values.length / 2);
  if (half < FEWEST) return [values];
  const pairs = Array.from(
    {length: half},
    (_, at) => ((values[2 * at] ?? 0) + (values[2 * at + 1] ?? 0)) / 2,
  );
  return [values, ...levelsOf(pairs)];
};

/** How fast the logarithm of the variance changes with that of the length when samples are unrelated. */
const UNRELATED = -1;
/** The same when the level walks at random. What grows faster is not noise, and its growth is not extended. */
const WALKING = 1;

/**
 * The standard error of one section as long as the run, from a line through the logarithms of variance and length, where
 * a level counts as much as it has degrees of freedom. Null when there are too few, or one is without any difference.
 */
const lineThrough = (
  levels: readonly (readonly number[])[],
  varianceOf: (values: readonly number[]) => number,
): {error: number; slope: number} | null => {
  const points = levels.map((values) => ({
    length: -Math.log(values.length),
    variance: Math.log(varianceOf(values)),
    weight: values.length - 1,
  }));
  if (points.length < FEWEST_LEVELS || points.some(({variance}) => !Number.isFinite(variance))) return null;
  const total = points.reduce((sum, {weight}) => sum + weight, 0);
  const weighted = (valueOf: (point: (typeof points)[number]) => number): number =>
    points.reduce((sum, point) => sum + point.weight * valueOf(point), 0) / total;
  const middle = {length: weighted(({length}) => length), variance: weighted(({variance}) => variance)};
  const rise =
    weighted(({length, variance}) => (length - middle.length) * (variance - middle.variance)) /
    weighted(({length}) => (length - middle.length) ** 2);
  const slope = Math.min(WALKING, Math.max(UNRELATED, rise));
  return {error: Math.sqrt(Math.exp(middle.variance - slope * middle.length)), slope};
};

const variance = (values: readonly number[]): number => {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1);
};

/** Allan's: a drift over the run counts only with what it makes of neighbours. */
const varianceOfNeighbours = (values: readonly number[]): number =>
  values.slice(1).reduce((sum, value, index) => sum + (value - (values[index] ?? 0)) ** 2, 0) /
  (2 * (values.length - 1));
