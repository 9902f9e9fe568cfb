import {held, type Row} from './rows.js';
import type {Line} from './benchmark.js';

/** All rows as text, whose last column is what a figure was made of, or why there is none. */
export const tableOf = (rows: readonly Row[]): string => {
  const lines = [
    ['', 'what', 'against', 'where', 'measured', 'at most', 'made of'],
    ...rows.map((row) => [
      verdictOf(row),
      row.what,
      row.against,
      row.where,
      'missing' in row ? '' : figure(row.value, row.unit),
      row.most === null ? '' : figure(row.most, row.unit),
      'missing' in row ? row.missing : row.detail,
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

const verdictOf = (row: Row): string => {
  if ('missing' in row) return 'NOT RUN';
  if (row.most === null) return '';
  return held(row) ? 'holds' : 'MISSED';
};

const figure = (value: number, unit: Line['unit']): string => {
  const digits = unit === 'x' ? 2 : unit === '%' ? 1 : 0;
  return `${value.toFixed(digits)} ${unit}`;
};
