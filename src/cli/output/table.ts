import type {ChalkInstance} from 'chalk';
import {printable} from '../../printable.js';
import {columnsOf, shortened} from './columns.js';
import {visibleLength} from './wrap.js';

/** `obstacles` are what `assignable` rests on. */
export type Needed = 'details' | 'noSnoop' | 'assignable' | 'obstacles';

/** One column of a table of `Row`s. */
export interface Column<Row> {
  /** What `--columns` and `--sort` call it; the header is the same in upper case. */
  name: string;
  text: (row: Row) => string;
  /** How to sort; by text when absent. */
  compare?: (a: Row, b: Row) => number;
  paint?: (text: string, row: Row, paint: ChalkInstance) => string;
  /** What has to be read for it beyond what every answer needs. */
  needs?: Needed;
  /** Whether its texts may be cut to make the table fit a terminal. */
  flexible?: boolean;
  /** What to print where the text has no room, the longest first; the end of the last is cut. */
  shorter?: (row: Row) => readonly string[];
}

export interface TableOptions {
  header: boolean;
  paint: ChalkInstance;
  /** Columns of the terminal; null when stdout is none, so that nothing is cut. */
  width: number | null;
  /** Widths that columns have at least; they are made those of this table, for further lines of it. */
  widths?: number[];
}

/** The lines of a table with two spaces between its columns. Text from outside is made printable. */
export const tableLines = async <Row>(
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  options: TableOptions,
): Promise<string[]> => [...(await manyTableLines(rows, columns, options))];

/** The same, where each line of a long table is made when it is asked for. */
export const manyTableLines = async <Row>(
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  {header, paint, width, widths: least = []}: TableOptions,
): Promise<Iterable<string>> => {
  const heads = header ? columns.map((column) => column.name.toUpperCase()) : null;
  const full = natural(heads, rows, columns).map((each, at) => Math.max(each, least[at] ?? 0));
  least.splice(0, least.length, ...full);
  const {folds, widths} = fold(columns, full, width);
  const cells = cellsOf(heads, rows, columns, {widths, paint});
  return width === null || rows.length > DRAWN_ROWS || folds.length > 1
    ? aligned(cells, widths, folds)
    : await drawn([...cells], widths);
};

/** The first column of each line that a row takes. */
type Folds = readonly number[];

const textOf = <Row>(column: Column<Row>, row: Row): string => printable(column.text(row)) || '-';

function* cellsOf<Row>(
  heads: readonly string[] | null,
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  {widths, paint}: {widths: readonly number[]; paint: ChalkInstance},
): Generator<string[]> {
  if (heads !== null) yield heads.map((head, at) => paint.bold(shortened(head, widths[at] ?? 0)));
  for (const row of rows) {
    yield columns.map((column, at) => {
      const cut = cutOf(column, row, widths[at] ?? 0);
      return column.paint === undefined ? cut : column.paint(cut, row, paint);
    });
  }
}

/** cli-table3 takes about 0.4 ms a row, so a table that nobody reads on a screen is aligned without it. */
const DRAWN_ROWS = 500;

const drawn = async (lines: readonly string[][], widths: readonly number[]): Promise<string[]> => {
  const {default: Table} = await import('cli-table3');
  const table = new Table({
    chars: {...BORDERLESS},
    style: {head: [], border: [], 'padding-left': 0, 'padding-right': 0},
    colWidths: [...widths],
  });
  table.push(...lines.map((line) => [...line]));
  return table.toString().split('\n').map(trimEnd);
};

const BORDERLESS = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '  ',
};

function* aligned(
  rows: Iterable<readonly string[]>,
  widths: readonly number[],
  folds: Folds,
): Generator<string> {
  for (const row of rows) {
    const cells = row.map(
      (text, at) => text + ' '.repeat(Math.max(0, (widths[at] ?? 0) - visibleLength(text))),
    );
    for (const [at, from] of folds.entries())
      yield (at === 0 ? '' : INDENT) + trimEnd(cells.slice(from, folds[at + 1]).join('  '));
  }
}

/** Indentation of lines that continue a row. */
const INDENT = '    ';

/** Texts are made twice, for their widths and to be printed: to keep those of 50,000 rows takes more memory than rows. */
const natural = <Row>(
  heads: readonly string[] | null,
  rows: readonly Row[],
  columns: readonly Column<Row>[],
): number[] => {
  const widths = columns.map((_, at) => Math.max(1, heads?.[at]?.length ?? 0));
  for (const row of rows) {
    for (const [at, column] of columns.entries())
      widths[at] = Math.max(widths[at] ?? 0, columnsOf(textOf(column, row)));
  }
  return widths;
};

/** Makes a table fit: flexible columns are narrowed, and where that is not enough a row takes several lines. */
const fold = <Row>(
  columns: readonly Column<Row>[],
  full: readonly number[],
  width: number | null,
): {folds: Folds; widths: readonly number[]} => {
  if (width === null) return {folds: [0], widths: full};
  const narrow = fit(columns, full, width);
  if (total(narrow) <= width) return {folds: [0], widths: narrow};
  const least = columns.map(({flexible = false}, at) => Math.min(full[at] ?? 0, flexible ? ROOMY : Infinity));
  const folds = [0];
  for (const at of columns.keys()) {
    const from = folds.at(-1) ?? 0;
    if (at > from && total(least.slice(from, at + 1)) > roomOf(folds.length, width)) folds.push(at);
  }
  const widths = folds.flatMap((from, at) => {
    const until = folds[at + 1];
    return fit(columns.slice(from, until), full.slice(from, until), roomOf(at + 1, width));
  });
  return {folds, widths};
};

/** Columns of the so many-th line of a row. */
const roomOf = (line: number, width: number): number => (line === 1 ? width : width - INDENT.length);

const total = (widths: readonly number[]): number =>
  widths.reduce((sum, each) => sum + each, 0) + 2 * (widths.length - 1);

/** Narrows flexible columns, the widest first, until the table fits or none can give more. */
const fit = <Row>(columns: readonly Column<Row>[], widths: readonly number[], width: number): number[] => {
  const result = [...widths];
  for (;;) {
    const flexible = columns
      .map((column, at) => ({at, width: result[at] ?? 0, may: column.flexible ?? false}))
      .filter((column) => column.may && column.width > MINIMUM);
    const excess = total(result) - width;
    if (excess <= 0 || flexible.length === 0) return result;
    const widest = flexible.reduce((a, b) => (b.width > a.width ? b : a));
    result[widest.at] = Math.max(MINIMUM, widest.width - excess);
  }
};

const MINIMUM = 12;

/** Width of a column in a table whose rows take several lines anyway. */
const ROOMY = 20;

const cutOf = <Row>(column: Column<Row>, row: Row, width: number): string => {
  const text = textOf(column, row);
  if (columnsOf(text) <= width) return text;
  const shorter = (column.shorter?.(row) ?? [text]).map(printable);
  return shorter.find((each) => columnsOf(each) <= width) ?? shortened(shorter.at(-1) ?? text, width);
};

const trimEnd = (line: string): string => line.replace(/(?: |\u001b\[0m)+$/, '');

/** Comma-separated lines (RFC 4180), header first. */
export const csvLines = <Row>(
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  header: boolean,
): string[] => [...manyCsvLines(rows, columns, header)];

/** The same, each made when it is asked for. */
export function* manyCsvLines<Row>(
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  header: boolean,
): Generator<string> {
  if (header) yield columns.map((column) => column.name).join(',');
  for (const row of rows) yield columns.map((column) => csvField(printable(column.text(row)))).join(',');
}

const csvField = (text: string): string => (/[",]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

/** Sorts by one column; a leading `-` reverses. Rows that compare equal keep their order. */
export const sorted = <Row>(rows: readonly Row[], column: Column<Row>, descending: boolean): Row[] => {
  const compare = column.compare ?? ((a: Row, b: Row) => collator().compare(column.text(a), column.text(b)));
  return [...rows].sort((a, b) => (descending ? -compare(a, b) : compare(a, b)));
};

let made: Intl.Collator | undefined;

/** Made when it is first needed: to set up the rules of a language takes longer than to read a small host. */
const collator = (): Intl.Collator => (made ??= new Intl.Collator('en', {numeric: true}));
