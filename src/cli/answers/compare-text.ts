import type {ChalkInstance} from 'chalk';
import type {CompareDocument, ComparedPair, ComparedRun} from '../../probe/compare.js';
import {phaseWords, seriesName} from '../../probe/series-name.js';
import {QUANTILES, type Figures} from '../../probe/statistics/figures.js';
import {grouped, timeText} from '../../numbers.js';
import {histogramLines} from '../output/histogram.js';
import {printable} from '../../printable.js';
import {differenceLine} from './probe-text.js';
import {tableLines, type Column} from '../output/table.js';
import {wrappedFacts, wrapped} from '../output/wrap.js';

/** The answer of `kvfio probe --compare A B` for people. */
export const compareLines = async (
  document: CompareDocument,
  {paint, width}: {paint: ChalkInstance; width: number | null},
): Promise<string[]> => {
  const {a, b, pairs, machineDifferences, onlyInA, onlyInB} = document;
  const tables: string[] = [];
  for (const pair of pairs) tables.push('', ...(await pairLines(pair, document, {paint, width})));
  return [
    ...wrapped(headline(pairs), width, '').map((line) => paint.bold(line)),
    ...wrappedFacts([runLine('A', a), runLine('B', b)], width),
    ...tables,
    '',
    ...(machineDifferences.length === 0
      ? ['The machine records are the same.']
      : [
          paint.bold('What else is different:'),
          ...(await tableLines(machineDifferences, DIFFERENCE_COLUMNS, {header: true, paint, width})),
        ]),
    ...wrappedFacts([...onlyIn('A', onlyInA), ...onlyIn('B', onlyInB)], width),
  ];
};

const headline = (pairs: readonly ComparedPair[]): string => {
  const changed = pairs.filter(({difference}) => difference?.different === true);
  if (changed.length === 0) return 'The two runs show no difference in any operation.';
  const parts = changed.map(({operation, difference}) => {
    const estimate = difference?.nanoseconds.estimate ?? 0;
    return `${operation.toUpperCase()} is ${timeText(Math.abs(estimate))} ${estimate > 0 ? 'slower' : 'faster'}`;
  });
  return printable(`In B, ${parts.join(', ')} than in A.`);
};

const runLine = (name: string, {path, machine, clock}: ComparedRun): string =>
  printable(
    `${name}: ${path} (${[machine.cpu, machine.kernel, machine.kvmModule, `${grouped(clock.tscKhz)} kHz`].filter((fact) => fact !== null).join(', ')})`,
  );

interface QuantileRow {
  name: string;
  a: number | null;
  b: number | null;
}

const pairLines = async (
  {operation, a, b, difference}: ComparedPair,
  runs: Pick<CompareDocument, 'a' | 'b'>,
  {paint, width}: {paint: ChalkInstance; width: number | null},
): Promise<string[]> => {
  const value = (figures: Figures | null, name: keyof typeof QUANTILES | 'mean'): number | null =>
    figures?.[name] ?? null;
  const names = [...(Object.keys(QUANTILES) as (keyof typeof QUANTILES)[]), 'mean' as const];
  const rows = names.map((name) => ({
    name: name === 'p999' ? 'p99.9' : name,
    a: value(a.nanoseconds, name),
    b: value(b.nanoseconds, name),
  }));
  return [
    paint.bold(
      printable(
        `${operation.toUpperCase()}, in ns: ${grouped(a.samples)} samples of A${phaseWords(a.phase)}, ${grouped(b.samples)} of B${phaseWords(b.phase)}`,
      ),
    ),
    ...(await tableLines(rows, QUANTILE_COLUMNS, {header: true, paint, width})),
    ...(difference === null
      ? ['these cannot be compared: one of them has no samples']
      : wrappedFacts([differenceLine(difference, paint, {from: 'A', to: 'B'})], width)),
    ...(['a', 'b'] as const).flatMap((run) => {
      const {histogram, subtracted: subtract} = {a, b}[run];
      const factor = 1e6 / runs[run].clock.tscKhz;
      const name = printable(`${run.toUpperCase()}: ${seriesName({operation, ...{a, b}[run]})}`);
      return histogram === null
        ? []
        : ['', ...histogramLines(name, histogram, {factor, subtract, paint, width})];
    }),
  ];
};

const numberText = (value: number | null): string => (value === null ? '' : grouped(value, 1));

const QUANTILE_COLUMNS: Column<QuantileRow>[] = [
  {name: ' ', text: ({name}) => name},
  {name: 'a', text: ({a}) => numberText(a)},
  {name: 'b', text: ({b}) => numberText(b)},
  {name: 'b-a', text: ({a, b}) => (a === null || b === null ? '' : signed(b - a))},
  {name: 'b/a', text: ({a, b}) => (a === null || b === null || a <= 0 ? '' : (b / a).toFixed(3))},
];

const signed = (value: number): string => (value > 0 ? `+${numberText(value)}` : numberText(value));

const DIFFERENCE_COLUMNS: Column<CompareDocument['machineDifferences'][number]>[] = [
  {name: 'what', text: ({field}) => field},
  {name: 'a', text: ({a}) => a ?? 'unknown', flexible: true},
  {name: 'b', text: ({b}) => b ?? 'unknown', flexible: true},
];

const onlyIn = (name: string, series: CompareDocument['onlyInA']): string[] =>
  series.length === 0 ? [] : [printable(`Only in ${name}: ${series.map(seriesName).join(', ')}`)];
