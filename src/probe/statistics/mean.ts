import type {Interval} from './interval.js';
import {sectionsOf} from './sections.js';

/**
 * The mean, with an interval from the means of sections (batch means): correlated samples make it wider, as they should.
 *
 * @param ticks - at least one sample, in the order taken
 */
export const meanInterval = (ticks: Float64Array): Interval => {
  const estimate = mean(ticks);
  if (ticks.length < 2) return {estimate, low: null, high: null, confidence: 0.95};
  const {error, reach} = sectionsOf(ticks.length, (start, end) => mean(ticks.subarray(start, end)));
  return {estimate, low: estimate - reach * error, high: estimate + reach * error, confidence: 0.95};
};

const mean = (values: Float64Array): number => {
  let sum = 0;
  for (const value of values) sum += value;
  return sum / values.length;
};
