import type {ChalkInstance} from 'chalk';
import type {BaselineDocument} from '../../diff/baseline-document.js';
import type {Kind} from '../../diff/kinds.js';
import {grouped} from '../../numbers.js';
import {countWords, kernelWords, machineName} from './diff-words.js';
import {printable} from '../../printable.js';
import {tableLines, type Column} from '../output/table.js';
import {wrappedFacts} from '../output/wrap.js';

/** The answer of `kvfio diff --baseline A DIR` for people. */
export const kindsLines = async (
  {baseline, hosts, incomplete, kinds, unread}: BaselineDocument,
  {paint, width}: {paint: ChalkInstance; width: number | null},
): Promise<string[]> => {
  const alike = kinds.find(({same}) => same)?.hosts ?? 0;
  const rows = kinds.map((kind, at): Row => ({...kind, number: at + 1}));
  const odd = rows.filter((kind) => kind.odd);
  const oddHosts = odd.reduce((sum, kind) => sum + kind.hosts, 0);
  const section = (head: string, lines: readonly string[]): string[] =>
    lines.length === 0 ? [] : ['', paint.bold(head), ...wrappedFacts(lines.map(printable), width)];
  const notes = [
    ...(incomplete === 0
      ? []
      : [
          `kvfio could not read all of ${counted(incomplete, 'host')}; what it could not read counts as unknown.`,
        ]),
    ...(alike === hosts
      ? []
      : [`"kvfio diff ${machineName(baseline.origin)} EXAMPLE" shows all that differs for a kind.`]),
  ];
  return [
    paint.bold(
      `${counted(hosts, 'host')} of ${counted(kinds.length, 'kind')}; ${grouped(alike)} ${alike === 1 ? 'is' : 'are'} as the baseline.`,
    ),
    ...(await tableLines(rows.slice(0, KINDS_SHOWN), COLUMNS, {header: true, paint, width})),
    ...more(rows.length - KINDS_SHOWN, 'kind'),
    ...section(`The odd ones out: ${counted(oddHosts, 'host')}`, [
      ...odd.slice(0, KINDS_SHOWN).map(filesWords),
      ...more(odd.length - KINDS_SHOWN, 'kind'),
    ]),
    ...section(`Not read as a machine: ${counted(unread.length, 'entry', 'entries')}`, [
      ...unread.slice(0, UNREAD_SHOWN).map(({file, why}) => `${file}: ${why}`),
      ...more(unread.length - UNREAD_SHOWN, 'entry', 'entries'),
    ]),
    ...(notes.length === 0 ? [] : ['', ...wrappedFacts(notes.map(printable), width)]),
  ];
};

/** How many are printed; --json has them all. */
const KINDS_SHOWN = 50;
const UNREAD_SHOWN = 20;

type Row = Kind & {number: number};

const counted = (count: number, what: string, several = `${what}s`): string =>
  `${grouped(count)} ${count === 1 ? what : several}`;

const more = (count: number, what: string, several?: string): string[] =>
  count <= 0 ? [] : [`... and ${counted(count, what, several)} more`];

const filesWords = ({number, files, hosts}: Row): string =>
  `kind ${number}: ${[...files, ...more(hosts - files.length, 'host')].join(', ')}`;

const COLUMNS: Column<Row>[] = [
  {name: 'kind', text: ({number}) => String(number)},
  {name: 'hosts', text: ({hosts}) => grouped(hosts)},
  {name: 'example', text: ({example}) => example},
  {
    name: 'difference',
    text: ({same, kernel, counts}) =>
      same ? 'none' : [...kernelWords(kernel), ...countWords(counts)].join('; '),
    flexible: true,
  },
];
