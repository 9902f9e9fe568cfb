import {Flags} from '@oclif/core';
import {Failure} from '../failure.js';
import type {Column} from './table.js';

/** Flags of every command that prints a table. */
export const tableFlags = {
  columns: Flags.string({
    description: 'columns to print, separated by commas',
    helpGroup: 'TABLE',
    helpValue: 'NAME,…',
  }),
  sort: Flags.string({
    description: 'column to sort by; -NAME sorts downwards',
    helpGroup: 'TABLE',
    helpValue: '[-]NAME',
  }),
  'no-header': Flags.boolean({description: 'leave out the line of column names', helpGroup: 'TABLE'}),
  csv: Flags.boolean({description: 'print comma-separated values', helpGroup: 'TABLE', exclusive: ['json']}),
};

/**
 * The columns that `--columns` names, or the usual ones.
 *
 * @throws Failure naming the columns there are, for one that is not among them
 */
export const chooseColumns = <Row>(
  all: readonly Column<Row>[],
  usual: readonly string[],
  wanted: string | undefined,
): Column<Row>[] => (wanted?.split(',') ?? usual).map((name) => findColumn(all, name.trim()));

/** The column that `--sort` names and whether it sorts downwards; null without the flag. */
export const chooseSort = <Row>(
  all: readonly Column<Row>[],
  wanted: string | undefined,
): {column: Column<Row>; descending: boolean} | null =>
  wanted === undefined
    ? null
    : {column: findColumn(all, wanted.replace(/^-/, '')), descending: wanted.startsWith('-')};

const findColumn = <Row>(all: readonly Column<Row>[], name: string): Column<Row> => {
  const column = all.find((candidate) => candidate.name === name.toLowerCase());
  if (column !== undefined) return column;
  throw new Failure({
    code: 'NO_SUCH_COLUMN',
    kind: 'usage',
    what: `There is no column "${name}".`,
    why: `The columns are ${all.map((candidate) => candidate.name).join(', ')}.`,
    hint: 'Name one or more of these, separated by commas.',
  });
};
