/**
 * How many standard errors to go to either side for an interval that holds the truth in 95 of 100 cases when the
 * error itself is estimated from few values: the quantile 0.975 of Student's t distribution.
 *
 * @param degrees - degrees of freedom, at least 1
 */
export const student95 = (degrees: number): number => {
  let low = 0;
  // the quantile is 12.7 for one degree, and less for more
  let high = 13;
  for (let step = 0; step < 60; step += 1) {
    const middle = (low + high) / 2;
    if (withinStudent(middle, degrees) < 0.95) low = middle;
    else high = middle;
  }
  return high;
};

/** The same when the error is known: the quantile 0.975 of the normal distribution. */
export const NORMAL_95 = 1.959964;

/** Probability that |t| is at most `limit` (Abramowitz and Stegun, 26.7.3 and 26.7.4). */
const withinStudent = (limit: number, degrees: number): number => {
  const angle = Math.atan(limit / Math.sqrt(degrees));
  const square = Math.cos(angle) ** 2;
  const odd = degrees % 2 === 1;
  let term = odd ? Math.cos(angle) : 1;
  let sum = odd && degrees === 1 ? 0 : term;
  for (let k = odd ? 3 : 2; k <= degrees - 2; k += 2) {
    term *= (square * (k - 1)) / k;
    sum += term;
  }
  const sine = Math.sin(angle) * sum;
  return odd ? (2 / Math.PI) * (angle + sine) : sine;
};
