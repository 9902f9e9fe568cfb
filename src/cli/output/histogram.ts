import type {ChalkInstance} from 'chalk';
import {grouped, timeText} from '../../numbers.js';
import {coarser, type Histogram} from '../../probe/statistics/bins.js';
import {wrapped} from './wrap.js';

export interface HistogramOptions {
  /** What a tick is worth in the unit that is shown. */
  factor: number;
  /** Ticks to take off before. */
  subtract?: number;
  paint: ChalkInstance;
  /** Columns of the terminal; null when stdout is none, where bars are made of `#`. */
  width: number | null;
}

/**
 * A histogram under its name: a line for what the columns are, and one for each range: where it begins, a bar, how many samples and
 * which share of all. A range that has samples has a bar, however short. Empty ranges in a row are one line. A `+` marks the
 * range that has all the rest, which is longer than the others, and the line above says so.
 */
export const histogramLines = (
  name: string,
  histogram: Histogram,
  {factor, subtract = 0, paint, width}: HistogramOptions,
): string[] => {
  const {scale, edges, counts} = coarser(histogram, LINES);
  const total = counts.reduce((sum, count) => sum + count, 0);
  const times = edges.map((edge) => (edge - subtract) * factor);
  const rest = scale === 'linear' && lengthOf(times, counts.length - 1) > 1.5 * lengthOf(times, 0);
  const labels = labelsOf(times).map(
    (label, at) => `${label}${rest && at === counts.length - 1 ? '+' : ' '}`,
  );
  const shares = counts.map((count) => shareText(count / total));
  const samples = ['SAMPLES', ...counts.map((count) => grouped(count))];
  const sampleWidth = longest(samples);
  const labelWidth = longest([...labels, FROM]);
  const numberWidth = sampleWidth + 2 + longest(shares);
  const room = Math.min(
    MAX_BAR_COLUMNS,
    Math.max(MIN_BAR_COLUMNS, (width ?? 80) - labelWidth - numberWidth - 4),
  );
  const most = counts.reduce((largest, count) => Math.max(largest, count), 1);
  const numbers = (index: number): string =>
    `${(samples[index + 1] ?? '').padStart(sampleWidth)}  ${shares[index] ?? ''}`;
  const lines = [
    ...wrapped(`${name}, ${rangesText(scale, times, rest)}`, width, '  ', '').map((line) => paint.bold(line)),
    paint.dim(
      `${FROM.padStart(labelWidth)}${' '.repeat(room + 2)}  ${'SAMPLES'.padStart(sampleWidth)}  ${'SHARE'.padStart(8)}`,
    ),
  ];
  for (let index = 0; index < counts.length; index += 1) {
    const count = counts[index] ?? 0;
    if (count === 0) {
      while (counts[index + 1] === 0) index += 1;
      lines.push(paint.dim(`${' '.repeat(labelWidth - 2)}${width === null ? ':' : '⋮'}`));
      continue;
    }
    const bar = barOf((count / most) * room, width !== null);
    const label = (labels[index] ?? '').padStart(labelWidth);
    const gap = ' '.repeat(room - bar.length);
    lines.push(`${label}  ${paint.cyan(bar)}${gap}  ${numbers(index)}`);
  }
  lines.push(paint.dim(`${(labels.at(-1) ?? '').padStart(labelWidth)}  longest`));
  return lines;
};

const FROM = 'FROM ns ';

const lengthOf = (edges: readonly number[], range: number): number =>
  (edges[range + 1] ?? 0) - (edges[range] ?? 0);

/** How the ranges grow, which a bar's height does not say. */
const rangesText = (scale: Histogram['scale'], times: readonly number[], rest: boolean): string =>
  scale === 'linear'
    ? `samples in ranges of ${timeText(lengthOf(times, 0))} (linear${rest ? '; + has the rest' : ' scale'})`
    : 'samples in ranges that grow (logarithmic scale)';

/** Ranges, not counting the last one. */
const LINES = 16;
const MAX_BAR_COLUMNS = 60;
const MIN_BAR_COLUMNS = 10;

/** A bar of `length` columns; not nothing, which would say that there is nothing. */
const barOf = (length: number, blocks: boolean): string => {
  if (!blocks) return '#'.repeat(Math.max(1, Math.round(length)));
  const eighths = Math.max(1, Math.round(length * 8));
  return FULL.repeat(Math.floor(eighths / 8)) + (EIGHTHS[eighths % 8] ?? '');
};

const FULL = '█';
const EIGHTHS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/** Labels of the edges, with just as many digits after the point as distinguish them. */
const labelsOf = (edges: readonly number[]): string[] => {
  for (let digits = 0; digits < 3; digits += 1) {
    const labels = edges.map((edge) => grouped(edge, digits));
    if (labels.every((label, index) => label !== labels[index + 1])) return labels;
  }
  return edges.map((edge) => grouped(edge, 3));
};

const shareText = (share: number): string => {
  const percent = share * 100;
  return (
    percent >= 0.1 || percent === 0
      ? `${percent.toFixed(1)} %`
      : percent >= 0.001
        ? `${percent.toFixed(3)} %`
        : '<0.001 %'
  ).padStart(8);
};

const longest = (texts: readonly string[]): number =>
  texts.reduce((most, text) => Math.max(most, text.length), 1);
