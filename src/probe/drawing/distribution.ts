import type {SeriesDocument} from '../series-document.js';
import type {Clock} from '../series.js';
import type {Histogram} from '../statistics/bins.js';
import type {Figures} from '../statistics/figures.js';

/** What one panel of a drawing shows, in nanoseconds. */
export interface DrawnDistribution {
  name: string;
  colour: Colour;
  samples: number;
  histogram: Histogram;
  figures: Figures;
}

export const COLOURS = {blue: '#3b82c4', orange: '#d9642b', green: '#2e9e6b'} as const;
export type Colour = keyof typeof COLOURS;

/** Null of a series without samples, or whose document has no histogram. */
export const distributionOf = (
  {samples, subtracted, histogram, nanoseconds}: DrawnSeries,
  {tscKhz}: Pick<Clock, 'tscKhz'>,
  {name, colour}: Pick<DrawnDistribution, 'name' | 'colour'>,
): DrawnDistribution | null => {
  if (histogram === null || nanoseconds === null) return null;
  const edges = histogram.edges.map((edge) => ((edge - subtracted) * 1e6) / tscKhz);
  return {name, colour, samples, histogram: {...histogram, edges}, figures: nanoseconds};
};

export type DrawnSeries = Pick<SeriesDocument, 'samples' | 'subtracted' | 'histogram' | 'nanoseconds'>;

export interface Bar {
  from: number;
  to: number;
  /** Share of all samples that it has. */
  share: number;
}

/**
 * The ranges that a drawing has a bar for, and what is left: of equal ranges the last one holds all that is longer, up to the
 * longest sample, so that a bar for it would be compared with what is not alike.
 */
export const barsOf = ({
  histogram: {scale, edges, counts},
}: DrawnDistribution): {bars: Bar[]; rest: {share: number; from: number} | null; width: number | null} => {
  const total = sum(counts);
  const bars = counts.map((count, index) => ({
    from: edges[index] ?? 0,
    to: edges[index + 1] ?? 0,
    share: count / total,
  }));
  const [first] = bars;
  const last = bars.at(-1);
  const width = scale === 'log' || first === undefined ? null : first.to - first.from;
  if (width === null || last === undefined || bars.length < 2 || last.to - last.from <= width * 1.001)
    return {bars, rest: null, width};
  return {
    bars: bars.slice(0, -1),
    rest: {share: last.share, from: last.from},
    width,
  };
};

/** The number of samples, at least 1. A histogram may be of some of the samples only, where they were too many to keep. */
const sum = (counts: readonly number[]): number =>
  Math.max(
    1,
    counts.reduce((total, count) => total + count, 0),
  );

/** Points of the cumulative curve that are known: each edge, and behind the equal ranges the highest quantiles. */
export const curveOf = (distribution: DrawnDistribution): {at: number; share: number}[] => {
  const {
    figures: {p999, max},
    histogram: {counts, edges},
  } = distribution;
  const total = sum(counts);
  let below = 0;
  const known = counts.slice(0, -1).map((count, index) => {
    below += count;
    return {at: edges[index + 1] ?? 0, share: below / total};
  });
  const reached = known.at(-1) ?? {at: edges[0] ?? 0, share: 0};
  const high = [
    {at: p999, share: 0.999},
    {at: max, share: 1},
  ].filter(({at, share}) => at > reached.at && share > reached.share);
  return [{at: edges[0] ?? 0, share: 0}, ...known, ...high];
};
