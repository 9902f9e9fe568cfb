import type {ChalkInstance} from 'chalk';
import {printable} from './printable.js';

/** One column of a table of `Row`s. */
export interface Column<Row> {
  /** What `--columns` and `--sort` call it; the header is the same in upper case. */
  name: string;
  text: (row: Row) => string;
  /** How to sort; by text when absent. */
  compare?: (a: Row, b: Row) => number;
  paint?: (text: string, row: Row, paint: ChalkInstance) => string;
  /** What has to be read for it beyond what every answer needs. */
  needs?: 'details' | 'noSnoop' | 'assignable';
  /** May be cut to make the table fit a terminal. */
  flexible?: boolean;
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
  const widths = fit(columns, full, width);
  const cells = cellsOf(heads, rows, columns, {widths, paint});
  return width === null || rows.length > DRAWN_ROWS
    ? aligned(cells, widths)
    : await drawn([...cells], widths);
};

const textOf = <Row>(column: Column<Row>, row: Row): string => printable(column.text(row)) || '-';

function* cellsOf<Row>(
  heads: readonly string[] | null,
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  {widths, paint}: {widths: readonly number[]; paint: ChalkInstance},
): Generator<string[]> {
  if (heads !== null) yield heads.map((head, at) => paint.bold(shorten(head, widths[at] ?? 0)));
  for (const row of rows) {
    yield columns.map((column, at) => {
      const cut = shorten(textOf(column, row), widths[at] ?? 0);
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

function* aligned(lines: Iterable<readonly string[]>, widths: readonly number[]): Generator<string> {
  for (const line of lines) {
    yield trimEnd(
      line
        .map((text, at) => text + ' '.repeat(Math.max(0, (widths[at] ?? 0) - visibleLength(text))))
        .join('  '),
    );
  }
}

/** Texts are made twice, for their widths and to be printed: to keep those of 50,000 rows takes more memory than rows. */
const natural = <Row>(
  heads: readonly string[] | null,
  rows: readonly Row[],
  columns: readonly Column<Row>[],
): number[] => {
  const widths = columns.map((_, at) => Math.max(1, heads?.[at]?.length ?? 0));
  for (const row of rows) {
    for (const [at, column] of columns.entries())
      widths[at] = Math.max(widths[at] ?? 0, textOf(column, row).length);
  }
  return widths;
};

/** Narrows flexible columns, the widest first, until the table fits or none can give more. */
const fit = <Row>(columns: readonly Column<Row>[], widths: number[], width: number | null): number[] => {
  if (width === null) return widths;
  const result = [...widths];
  const total = (): number => result.reduce((sum, each) => sum + each, 0) + 2 * (result.length - 1);
  for (;;) {
    const flexible = columns
      .map((column, at) => ({at, width: result[at] ?? 0, may: column.flexible ?? false}))
      .filter((column) => column.may && column.width > MINIMUM);
    const excess = total() - width;
    if (excess <= 0 || flexible.length === 0) return result;
    const widest = flexible.reduce((a, b) => (b.width > a.width ? b : a));
    result[widest.at] = Math.max(MINIMUM, widest.width - excess);
  }
};

const MINIMUM = 8;

const shorten = (text: string, width: number): string =>
  text.length <= width ? text : `${text.slice(0, width - 1)}…`;

const visibleLength = (text: string): number => text.replace(/\u001b\[[0-9;]*m/g, '').length;

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
