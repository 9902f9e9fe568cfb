import {Flags} from '@oclif/core';
import {Failure} from '../../failure.js';
import {nearest} from '../../nearest.js';
import type {Column} from '../output/table.js';

/** Flags of every command that prints a table, for the columns that it has. */
export const tableFlags = <Row>(columns: readonly Column<Row>[]) => ({
  columns: Flags.string({
    description: `columns to print, separated by commas: ${columns.map(({name}) => name).join(', ')}`,
    helpGroup: 'TABLE',
    helpValue: 'NAME,…',
  }),
  sort: Flags.string({description: 'column to sort by', helpGroup: 'TABLE', helpValue: 'NAME'}),
  reverse: Flags.boolean({description: 'sort in descending order', helpGroup: 'TABLE', dependsOn: ['sort']}),
  'no-header': Flags.boolean({description: 'leave out the line of column names', helpGroup: 'TABLE'}),
  csv: Flags.boolean({description: 'print comma-separated values', helpGroup: 'TABLE', exclusive: ['json']}),
});

/** What the flags of a table ask for. */
export interface TableChoice<Row> {
  columns: Column<Row>[];
  /** Null for the order of the answer itself. */
  sort: {column: Column<Row>; descending: boolean} | null;
  header: boolean;
  csv: boolean;
}

export interface TableFlagValues {
  columns?: string | undefined;
  sort?: string | undefined;
  reverse: boolean;
  'no-header': boolean;
  csv: boolean;
}

/**
 * Resolves the flags against the columns that there are; `usual` are printed without `--columns`.
 *
 * @throws Failure naming the columns, for one that is not among them
 */
export const tableChoice = <Row>(
  all: readonly Column<Row>[],
  usual: readonly string[],
  flags: TableFlagValues,
): TableChoice<Row> => ({
  columns: (flags.columns?.split(',') ?? usual).map((name) => findColumn(all, name.trim())),
  sort: flags.sort === undefined ? null : {column: findColumn(all, flags.sort), descending: flags.reverse},
  header: !flags['no-header'],
  csv: flags.csv,
});

const findColumn = <Row>(all: readonly Column<Row>[], name: string): Column<Row> => {
  const column = all.find((candidate) => candidate.name === name.toLowerCase());
  if (column !== undefined) return column;
  const near = nearest(
    name,
    all.map((candidate) => candidate.name),
  );
  throw new Failure({
    code: 'NO_SUCH_COLUMN',
    kind: 'usage',
    what: `There is no column "${name}".`,
    why: `The columns are ${all.map((candidate) => candidate.name).join(', ')}.`,
    hint: near === undefined ? 'Name one or more of these, separated by commas.' : `Did you mean "${near}"?`,
  });
};
