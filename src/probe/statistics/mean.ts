import type {Interval} from './interval.js';
import {sectionsOf} from './sections.js';
import {student95} from './student.js';

/**
 * The mean, with an interval from the means of sections (batch means): correlated samples make it wider, as they should.
 *
 * @param ticks - at least one sample, in the order taken
 */
export const meanInterval = (ticks: Float64Array): Interval => {
  const estimate = mean(ticks);
  const meanOf = (start: number, end: number): number => mean(ticks.subarray(start, end));
  const {bounds} = sectionsOf(ticks.length, meanOf);
  const means = bounds.slice(1).map((end, index) => meanOf(bounds[index] ?? 0, end));
  if (means.length < 2) return {estimate, low: null, high: null, confidence: 0.95};
  const squares = means.reduce((sum, each) => sum + (each - estimate) ** 2, 0);
  const degrees = means.length - 1;
  const reach = student95(degrees) * Math.sqrt(squares / degrees / means.length);
  return {estimate, low: estimate - reach, high: estimate + reach, confidence: 0.95};
};

const mean = (values: Float64Array): number => {
  let sum = 0;
  for (const value of values) sum += value;
  return sum / values.length;
};
