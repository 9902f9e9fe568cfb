/**
 * The value below which a share of the samples lies, between the two nearest ones where none is exactly there
 * (type 7 of Hyndman and Fan).
 *
 * @param sorted - at least one value, upwards
 * @param share - from 0 to 1
 */
export const quantile = (sorted: ArrayLike<number>, share: number): number => {
  const rank = (sorted.length - 1) * share;
  const below = sorted[Math.floor(rank)];
  const above = sorted[Math.ceil(rank)];
  if (below === undefined || above === undefined) throw new RangeError('a quantile of nothing');
  return below === above ? below : below + (above - below) * (rank - Math.floor(rank));
};

/** How many values of `sorted` are less than `value`. */
export const countBelow = (sorted: ArrayLike<number>, value: number): number => {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] ?? 0) < value) low = middle + 1;
    else high = middle;
  }
  return low;
};
