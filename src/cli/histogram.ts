import type {ChalkInstance} from 'chalk';
import {coarser, type Histogram} from '../probe/statistics/bins.js';

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
 * A histogram with one line for each range: where it begins, a bar, how many samples and which share of all. A range that
 * has samples has a bar, however short. Empty ranges in a row are one line.
 */
export const histogramLines = (
  histogram: Histogram,
  {factor, subtract = 0, paint, width}: HistogramOptions,
): string[] => {
  const {edges, counts} = coarser(histogram, LINES);
  const total = counts.reduce((sum, count) => sum + count, 0);
  const labels = labelsOf(edges.map((edge) => (edge - subtract) * factor));
  const numbers = counts.map((count) => `${grouped(count)}  ${shareText(count / total)}`);
  const labelWidth = longest(labels);
  const numberWidth = longest(numbers);
  const room = Math.min(MOST, Math.max(LEAST, (width ?? 80) - labelWidth - numberWidth - 5));
  const most = counts.reduce((largest, count) => Math.max(largest, count), 1);
  const lines: string[] = [];
  for (let index = 0; index < counts.length; index += 1) {
    const count = counts[index] ?? 0;
    if (count === 0) {
      while (counts[index + 1] === 0) index += 1;
      lines.push(paint.dim(`${' '.repeat(labelWidth - 1)}${width === null ? ':' : '⋮'}`));
      continue;
    }
    const bar = barOf((count / most) * room, width !== null);
    const label = (labels[index] ?? '').padStart(labelWidth);
    const gap = ' '.repeat(room - bar.length);
    lines.push(`${label}  ${paint.cyan(bar)}${gap}  ${(numbers[index] ?? '').padStart(numberWidth)}`);
  }
  lines.push(paint.dim(`${(labels.at(-1) ?? '').padStart(labelWidth)}  longest`));
  return lines;
};

/** Ranges, not counting the last one. */
const LINES = 16;
const MOST = 60;
const LEAST = 10;

/** A bar of `length` columns; not nothing, which would say that there is nothing. */
const barOf = (length: number, blocks: boolean): string => {
  if (!blocks) return '#'.repeat(Math.max(1, Math.round(length)));
  const eighths = Math.max(1, Math.round(length * 8));
  return FULL.repeat(Math.floor(eighths / 8)) + (EIGHTHS[eighths % 8] ?? '');
};

const FULL = '█';
const EIGHTHS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/** With just as many digits after the point as tell the edges apart. */
const labelsOf = (edges: readonly number[]): string[] => {
  for (let digits = 0; digits < 3; digits += 1) {
    const labels = edges.map((edge) => grouped(edge, digits));
    if (labels.every((label, index) => label !== labels[index + 1])) return labels;
  }
  return edges.map((edge) => grouped(edge, 3));
};

/** Thousands apart, as in `1 234 567.8`. */
export const grouped = (value: number, digits = 0): string => {
  const [whole = '', rest] = value.toFixed(digits).split('.');
  const spaced = whole.replace(/\B(?=(?:\d{3})+$)/g, ' ');
  return rest === undefined ? spaced : `${spaced}.${rest}`;
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
