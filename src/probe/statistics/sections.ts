/**
 * Samples that are taken one after the other resemble each other: the clock of the processor changes, the host becomes
 * busy. Sections of the run, in the order taken, resemble each other much less, so intervals are made from what
 * differs between sections. They are right while what correlates samples is short against a section.
 */
export interface Sections {
  /** Where each begins, and last where the last one ends. Their lengths differ by one at most. */
  bounds: number[];
  /** Even the longest sections resemble their neighbours: the run drifts, and intervals made from it are too narrow. */
  drifting: boolean;
}

/**
 * As many sections as there may be, but so long that neighbours do not resemble each other.
 *
 * @param valueOf - what an interval is made for, of the samples from `start` to before `end`
 */
export const sectionsOf = (count: number, valueOf: (start: number, end: number) => number): Sections => {
  for (const wanted of NUMBERS) {
    const bounds = sectionBounds(count, wanted);
    const values = bounds.slice(1).map((end, index) => valueOf(bounds[index] ?? 0, end));
    if (!resembleNeighbours(values)) return {bounds, drifting: false};
  }
  return {bounds: sectionBounds(count, LAST), drifting: true};
};

/** Fewer than ten say too little about how much they differ; more than 40 make an interval hardly narrower. */
const LAST = 10;
const NUMBERS = [40, 20, LAST];

const sectionBounds = (count: number, wanted: number): number[] => {
  const sections = Math.min(count, wanted);
  return Array.from({length: sections + 1}, (_, index) => Math.floor((index * count) / sections));
};

/** Whether their correlation at distance one is above what chance makes of unrelated values in 19 of 20 cases. */
const resembleNeighbours = (values: readonly number[]): boolean => {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  let squares = 0;
  let products = 0;
  for (const [index, value] of values.entries()) {
    squares += (value - mean) ** 2;
    products += (value - mean) * ((values[index + 1] ?? mean) - mean);
  }
  return squares > 0 && products / squares > 1.645 / Math.sqrt(values.length);
};
