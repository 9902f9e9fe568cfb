/**
 * What benchmarks say: figures that are measured side by side in one run, and what each is to reach.
 *
 * A benchmark that is run by itself prints its own table. `all.ts` runs them all and prints one.
 */
import {existsSync, readFileSync, writeFileSync} from 'node:fs';

export interface Row {
  /** The thing that is measured. */
  what: string;
  /** What it is measured against; empty for a plain figure. */
  against: string;
  /** Median of the ratios, or a figure in `unit`. */
  value: number;
  /** The most that it may be; null when it only informs. */
  most: number | null;
  /** `x` for a ratio. */
  unit: 'x' | 'MB' | 'ms' | 'us' | '%' | 'of 40';
  /** What the figure was made of: the two times, say. */
  detail: string;
}

/** Where `all.ts` wants the rows of a benchmark. */
export const ROWS_TO = 'KVFIO_BENCH_ROWS';

/** Fewer rounds, as continuous integration has little time. */
export const SHORT = process.argv.includes('--short');

export const held = ({value, most}: Row): boolean => most === null || value <= most;

/** Prints the rows, and writes them where `all.ts` wants them. */
export const report = (rows: readonly Row[]): void => {
  console.log(tableOf(rows));
  const path = process.env[ROWS_TO];
  if (path !== undefined) writeFileSync(path, JSON.stringify(rows));
  if (!SHORT && !rows.every(held)) process.exitCode = 1;
};

/** Says why a benchmark cannot run here, which counts as a miss. */
export const cannotRun = (why: string): void => {
  console.log(`cannot run here: ${why}`);
  const path = process.env[ROWS_TO];
  if (path !== undefined) writeFileSync(path, JSON.stringify({why}));
  process.exitCode = 1;
};

/** What a benchmark left in a file: rows, or why there are none. */
export const resultIn = (path: string): {rows: readonly Row[]; missing: string | null} => {
  if (!existsSync(path)) return {rows: [], missing: 'ended without a result'};
  const result = JSON.parse(readFileSync(path, 'utf8')) as readonly Row[] | {why: string};
  if ('why' in result) return {rows: [], missing: `cannot run here: ${result.why}`};
  return {rows: result, missing: result.length === 0 ? 'ended without a row' : null};
};

export const tableOf = (rows: readonly Row[]): string => {
  const lines = [
    ['', 'what', 'against', 'measured', 'at most', 'made of'],
    ...rows.map((row) => [
      row.most === null ? '' : held(row) ? 'holds' : 'MISSED',
      row.what,
      row.against,
      figure(row.value, row.unit),
      row.most === null ? '' : figure(row.most, row.unit),
      row.detail,
    ]),
  ];
  const widths = (lines[0] ?? []).map((_, column) =>
    Math.max(...lines.map((line) => line[column]?.length ?? 0)),
  );
  return lines
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
};

const figure = (value: number, unit: Row['unit']): string => {
  const digits = unit === 'x' ? 2 : unit === '%' ? 1 : 0;
  return `${value.toFixed(digits)} ${unit}`;
};
