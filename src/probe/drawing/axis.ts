import {unitFor, grouped, type TimeUnit} from '../../numbers.js';
import {barsOf, type DrawnDistribution} from './distribution.js';

/** The axis of time that all panels of a drawing share, so that they can be compared by eye. */
export interface Axis {
  scale: 'linear' | 'log';
  /** Ends of the axis in nanoseconds. */
  from: number;
  to: number;
  ticks: {at: number; text: string}[];
  /** What it shows, with its unit and scale. */
  title: string;
}

/** An axis from the shortest sample to somewhat above what the longest series has bars for: words describe the rest. */
export const axisOf = (distributions: readonly DrawnDistribution[], what: string): Axis => {
  const from = Math.min(...distributions.map(({figures}) => figures.min));
  const to = Math.max(...distributions.map(shownEnd));
  if (!Number.isFinite(from)) return {scale: 'linear', from: 0, to: 1, ticks: [], title: what};
  return from > 0 && to / from >= WIDE
    ? logAxis(from / 1.05, to * 1.05, what)
    : linearAxis(from, to, (to - from || Math.abs(to) || 1) * 0.02, what);
};

/** Ratio of longest to shortest from which equal steps would leave no space for the shortest. */
const WIDE = 8;

const shownEnd = (distribution: DrawnDistribution): number => {
  const {min, p99, max} = distribution.figures;
  const most = barsOf(distribution).rest?.from ?? p99;
  return Math.min(max, most + 0.3 * (most - min));
};

const linearAxis = (least: number, most: number, margin: number, what: string): Axis => {
  const [from, to] = [least - margin, most + margin];
  const {size, name} = unitFor(to);
  const unit: TimeUnit = {name, size, digits: 0};
  const {values, digits} = evenTicks(from / unit.size, to / unit.size, 10);
  return {
    scale: 'linear',
    from,
    to,
    ticks: values.map((value) => ({at: value * unit.size, text: grouped(value, digits)})),
    title: `${what}, in ${name} (linear scale)`,
  };
};

const logAxis = (from: number, to: number, what: string): Axis => {
  const decades = Math.log10(to / from);
  const factors = decades > 4 ? [1] : decades > 2 ? [1, 3] : [1, 2, 3, 5];
  const ticks: number[] = [];
  for (let power = Math.floor(Math.log10(from)); power <= Math.log10(to); power += 1)
    for (const factor of factors) ticks.push(factor * 10 ** power);
  return {
    scale: 'log',
    from,
    to,
    ticks: ticks.filter((at) => at >= from && at <= to).map((at) => ({at, text: roundTime(at)})),
    title: `${what} (logarithmic scale)`,
  };
};

/** A round number of nanoseconds: `30 µs`. */
const roundTime = (nanoseconds: number): string => {
  const [size, name] =
    nanoseconds >= 1e9
      ? ([1e9, 's'] as const)
      : nanoseconds >= 1e6
        ? ([1e6, 'ms'] as const)
        : nanoseconds >= 1e3
          ? ([1e3, 'µs'] as const)
          : ([1, 'ns'] as const);
  return `${Number((nanoseconds / size).toPrecision(3))} ${name}`;
};

/** Multiples of 1, 2 or 5 times a power of ten, at most so many, and the digits that they need after the point. */
export const evenTicks = (from: number, to: number, most: number): {values: number[]; digits: number} => {
  const rough = (to - from) / most;
  const exponent = Math.floor(Math.log10(rough));
  const power = 10 ** exponent;
  const factor = [1, 2, 5, 10].find((each) => each * power >= rough) ?? 10;
  const step = factor * power;
  const first = Math.ceil(from / step);
  const count = Math.max(0, Math.floor(to / step) - first + 1);
  return {
    values: Array.from({length: count}, (_, index) => (first + index) * step),
    digits: Math.max(0, factor === 10 ? -exponent - 1 : -exponent),
  };
};

/** Where on the axis a time is, from 0 to 1. */
export const placeOn = ({scale, from, to}: Axis, at: number): number => {
  const place =
    scale === 'log' ? Math.log(Math.max(at, from) / from) / Math.log(to / from) : (at - from) / (to - from);
  return Math.min(1, Math.max(0, place));
};
