import type {Interval} from './interval.js';
import {quantile} from './quantile.js';

/** What describes the samples of one series, in one unit. */
export interface Figures {
  min: number;
  p25: number;
  median: number;
  p75: number;
  p90: number;
  p99: number;
  /** 99.9 % of the samples are not above it. */
  p999: number;
  max: number;
  mean: number;
  /** Null for a single sample. */
  medianInterval: Range | null;
  meanInterval: Range | null;
}

/** Limits that hold the truth in 95 of 100 runs. */
export interface Range {
  low: number;
  high: number;
}

/** The quantiles among {@link Figures}, in order. */
export const QUANTILES = {
  min: 0,
  p25: 0.25,
  median: 0.5,
  p75: 0.75,
  p90: 0.9,
  p99: 0.99,
  p999: 0.999,
  max: 1,
} as const;

/** @param sorted - at least one sample, upwards */
export const figuresOf = (sorted: Float64Array, median: Interval, mean: Interval): Figures => ({
  ...mapQuantiles((name) => quantile(sorted, QUANTILES[name])),
  mean: mean.estimate,
  medianInterval: rangeOf(median),
  meanInterval: rangeOf(mean),
});

/** Figures in another unit: each less `offset`, times `factor`, and rounded to `digits` after the point. */
export const converted = (figures: Figures, offset: number, factor: number, digits: number): Figures => {
  const convert = (value: number): number => rounded((value - offset) * factor, digits);
  const convertRange = (range: Range | null): Range | null =>
    range === null ? null : {low: convert(range.low), high: convert(range.high)};
  return {
    ...mapQuantiles((name) => convert(figures[name])),
    mean: convert(figures.mean),
    medianInterval: convertRange(figures.medianInterval),
    meanInterval: convertRange(figures.meanInterval),
  };
};

export const rounded = (value: number, digits: number): number => {
  const unit = 10 ** digits;
  return Math.round(value * unit) / unit;
};

type QuantileName = keyof typeof QUANTILES;

const mapQuantiles = (valueOf: (name: QuantileName) => number): Record<QuantileName, number> => ({
  min: valueOf('min'),
  p25: valueOf('p25'),
  median: valueOf('median'),
  p75: valueOf('p75'),
  p90: valueOf('p90'),
  p99: valueOf('p99'),
  p999: valueOf('p999'),
  max: valueOf('max'),
});

const rangeOf = ({low, high}: Interval): Range | null => (low === null || high === null ? null : {low, high});
