import type {Clock} from '../series.js';
import {histogramOf, type Histogram} from './bins.js';
import {converted, figuresOf, rounded, type Figures} from './figures.js';
import {middle95} from './interval.js';
import {meanInterval} from './mean.js';
import {estimateMedian} from './median.js';
import {outliersOf, type Outliers} from './outliers.js';

/** Everything that is said of one series of samples. It is of the same size for a thousand samples and for a million. */
export interface Summary {
  samples: number;
  /** Ticks that were taken off every sample: the median of the empty bracket, or 0. */
  subtracted: number;
  /** Figures in ticks of the time-stamp counter; null without samples. */
  cycles: Figures | null;
  nanoseconds: Figures | null;
  /**
   * 200 medians that such a run might as well have had, in ticks and upwards, from a block bootstrap. With those of
   * another run they give the interval of the difference.
   */
  medianReplicates: number[];
  /** The run's level moved slowly all the time: the intervals are wide for it, and would be for a longer run. */
  drifting: boolean;
  /** Histogram in ticks, before anything was taken off; null without samples. */
  histogram: Histogram | null;
  outliers: Outliers[];
}

export interface SummariseOptions {
  /** Ticks to take off every sample. */
  subtract?: number;
  /** Seconds from the first sample to the last, other operations in between included. */
  seconds?: number | null;
}

/**
 * Describes the samples of one series. The same samples give the same summary.
 *
 * @param ticks - in the order taken; not changed
 */
export const summarise = (
  ticks: Float64Array,
  {tscKhz}: Clock,
  {subtract = 0, seconds = null}: SummariseOptions = {},
): Summary => {
  if (ticks.length === 0) return {...NOTHING, subtracted: subtract};
  const sorted = ticks.slice().sort();
  const {median, replicates, drifting} = estimateMedian(ticks, sorted);
  const figures = figuresOf(sorted, middle95(median, replicates), meanInterval(ticks));
  return {
    samples: ticks.length,
    subtracted: subtract,
    cycles: converted(figures, subtract, 1, 2),
    nanoseconds: converted(figures, subtract, 1e6 / tscKhz, 2),
    medianReplicates: replicates.map((replicate) => rounded(replicate - subtract, 2)),
    drifting,
    histogram: histogramOf(sorted, rangesFor(sorted.length)),
    outliers: outliersOf(ticks, sorted, {tscKhz, seconds}),
  };
};

/** Number of ranges of a histogram: few samples have some in each range, and many are drawn finely. */
const rangesFor = (samples: number): number => Math.min(120, Math.max(40, Math.round(samples / 25)));

const NOTHING: Summary = {
  samples: 0,
  subtracted: 0,
  cycles: null,
  nanoseconds: null,
  medianReplicates: [],
  drifting: false,
  histogram: null,
  outliers: [],
};
