import {middle95, type Interval} from './interval.js';
import type {MedianEstimate} from './median.js';

/**
 * How much larger the median of `b` is than that of `a`, which were sampled independently of each other: each of the
 * replicates of one is paired with each of the other.
 */
export const differenceOfMedians = (
  a: Pick<MedianEstimate, 'median' | 'replicates'>,
  b: Pick<MedianEstimate, 'median' | 'replicates'>,
): Interval => {
  const differences = new Float64Array(a.replicates.length * b.replicates.length);
  for (const [row, one] of a.replicates.entries())
    for (const [column, other] of b.replicates.entries())
      differences[row * b.replicates.length + column] = other - one;
  return middle95(b.median - a.median, differences.sort());
};
