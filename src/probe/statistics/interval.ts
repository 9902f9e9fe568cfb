import {quantile} from './quantile.js';

/** An estimate and the range that holds the truth with the stated confidence. */
export interface Interval {
  estimate: number;
  /** Null, as is `high`, when there are too few samples to say. */
  low: number | null;
  high: number | null;
  /** How often such an interval holds the truth. */
  confidence: 0.95;
}

/** The middle 95 % of values that an estimate might as well have had. */
export const middle95 = (estimate: number, sorted: ArrayLike<number>): Interval => ({
  estimate,
  low: sorted.length === 0 ? null : quantile(sorted, 0.025),
  high: sorted.length === 0 ? null : quantile(sorted, 0.975),
  confidence: 0.95,
});

/** An interval in another unit. */
export const scaled = ({estimate, low, high, confidence}: Interval, factor: number): Interval => ({
  estimate: estimate * factor,
  low: low === null ? null : low * factor,
  high: high === null ? null : high * factor,
  confidence,
});
