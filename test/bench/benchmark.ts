import type {Need} from '../support/needs.js';
import type {Size} from '../support/place.js';

/** What is measured, and what it is to reach. */
export interface Line {
  /** The thing that is measured. */
  what: string;
  /** What it is measured against; empty for a plain figure. */
  against: string;
  /** `x` for a ratio. */
  unit: 'x' | 'MB' | 'ms' | 'us' | '%' | 'of 40';
  /** The most that it may be; null when it only informs. */
  most: number | null;
}

export interface Figure {
  /** Median of the ratios, or a figure in the line's unit. */
  value: number;
  /** What the figure was made of: the two times, say. */
  detail: string;
}

/** Figures that are measured side by side in one run. */
export interface Benchmark {
  needs: readonly Need[];
  /** Known before anything is measured, so that what could not be is printed, too. */
  lines: (size: Size) => readonly Line[];
  /** @returns one figure for each of the lines, in their order; what it throws is the reason why there is none */
  measure: (size: Size) => readonly Figure[] | Promise<readonly Figure[]>;
}
