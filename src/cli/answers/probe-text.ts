import type {ChalkInstance} from 'chalk';
import {grouped, inUnit, timeText, unitFor} from '../../numbers.js';
import type {MachineRecord} from '../../probe/machine-record.js';
import type {SeriesDifference, SeriesDocument, SeriesName} from '../../probe/series-document.js';
import {seriesName} from '../../probe/series-name.js';
import type {Clock} from '../../probe/series.js';
import type {Figures} from '../../probe/statistics/figures.js';
import type {Interval} from '../../probe/statistics/interval.js';
import type {Outliers} from '../../probe/statistics/outliers.js';
import {histogramLines} from '../output/histogram.js';
import {printable} from '../../printable.js';
import {tableLines, type Column} from '../output/table.js';
import {wrappedFacts, wrapped} from '../output/wrap.js';

/** What is printed of a run, for people. */
export interface ProbeAnswer {
  /** The line in words that the answer begins with. Without it, it is made from the figures. */
  headline?: string;
  clock: Clock;
  machine: MachineRecord;
  series: readonly SeriesDocument[];
  differences: readonly SeriesDifference[];
}

export interface ProbeTextOptions {
  paint: ChalkInstance;
  /** Columns of the terminal, or null when stdout is none. */
  width: number | null;
  /** Default true. */
  histograms?: boolean;
}

/** One line in words, then the distributions, differences, histograms, outliers and the machine. */
export const probeLines = async (
  {headline, clock, machine, series, differences}: ProbeAnswer,
  {paint, width, histograms = true}: ProbeTextOptions,
): Promise<string[]> => [
  ...wrapped(printable(headline ?? headlineOf(series, differences)), width, '').map((line) =>
    paint.bold(line),
  ),
  '',
  ...(await figureLines(series, {paint, width})),
  ...wrappedFacts(
    differences.map((difference) => differenceLine(difference, paint)),
    width,
  ),
  ...(histograms ? series.flatMap((each) => histogramOf(each, clock, {paint, width})) : []),
  ...series.flatMap((each) => outlierLines(each, clock, width)),
  '',
  ...machineLines(machine, clock, {paint, width}),
];

/**
 * What the groups cost, where there are some: `With the groups WBINVD takes 118.3 µs more …`; else `WBINVD takes 1 582 ns in
 * the guest (median of 10 000 samples, 95 % sure: 1 580 to 1 585 ns).`
 */
export const headlineOf = (
  series: readonly SeriesDocument[],
  differences: readonly SeriesDifference[] = [],
): string => {
  const cost = differences.find(({from, to}) => from.phase === 'coherent' && to.phase === 'attached');
  return cost === undefined ? timeHeadline(series) : costHeadline(cost, series);
};

const costHeadline = (
  {from, to, nanoseconds, ratio, different}: SeriesDifference,
  series: readonly SeriesDocument[],
): string => {
  const medianOf = ({operation, phase}: SeriesName): number | null =>
    series.find((each) => each.operation === operation && each.phase === phase)?.nanoseconds?.median ?? null;
  const [without, with_] = [medianOf(from), medianOf(to)];
  const medians =
    without === null || with_ === null
      ? ''
      : `: medians ${timeText(without)} without, ${timeText(with_)} with them`;
  const times = ratio === null ? '' : `, ${timesText(ratio)}`;
  const name = to.operation.toUpperCase();
  return different === true
    ? `The groups change the time of ${name} by ${intervalText(nanoseconds)}${times}${medians}.`
    : `The samples do not show that the groups change the time of ${name}: ${intervalText(nanoseconds)}${medians}.`;
};

const timeHeadline = (series: readonly SeriesDocument[]): string => {
  const first = series.find(({nanoseconds}) => nanoseconds !== null);
  if (first?.nanoseconds == null) return 'Nothing was measured: no sample was taken.';
  const {nanoseconds, samples, subtracted} = first;
  const range = nanoseconds.medianInterval;
  const certainty = range === null ? '' : `, 95 % sure: ${rangeText(range.low, range.high)}`;
  const less = subtracted === 0 ? '' : ', less the median of the operation empty';
  return `${seriesName(first)} takes ${timeText(nanoseconds.median)} in the guest (median of ${grouped(samples)} ${samples === 1 ? 'sample' : 'samples'}${certainty}${less}).`;
};

interface FigureRow {
  series: string;
  unit: 'cycles' | 'ns';
  figures: Figures | null;
  samples: number;
}

/** The distributions as a table, each in cycles and in nanoseconds. */
const figureLines = (
  series: readonly SeriesDocument[],
  {paint, width}: ProbeTextOptions,
): Promise<string[]> => {
  const rows = series.flatMap((each): FigureRow[] => [
    {series: seriesName(each), unit: 'ns', figures: each.nanoseconds, samples: each.samples},
    {series: '', unit: 'cycles', figures: each.cycles, samples: each.samples},
  ]);
  return tableLines(rows, FIGURE_COLUMNS, {header: true, paint, width});
};

/** @param least samples without which the figure is one of the largest samples under another name */
const figure = (name: string, value: (figures: Figures) => number | null, least = 1): Column<FigureRow> => ({
  name,
  text: ({figures, samples}) => {
    const number = figures === null || samples < least ? null : value(figures);
    return number === null ? '' : grouped(number);
  },
});

const FIGURE_COLUMNS: Column<FigureRow>[] = [
  {name: 'what', text: ({series}) => series || ' '},
  {name: 'unit', text: ({unit}) => unit},
  {name: 'samples', text: ({samples, series}) => (series === '' ? ' ' : grouped(samples))},
  figure('min', ({min}) => min),
  figure('p25', ({p25}) => p25),
  figure('median', ({median}) => median),
  figure('p75', ({p75}) => p75),
  figure('p90', ({p90}) => p90, 10),
  figure('p99', ({p99}) => p99, 100),
  figure('p99.9', ({p999}) => p999, 1000),
  figure('max', ({max}) => max),
  {
    name: 'mean',
    text: ({figures}) => (figures === null ? '' : aroundText(figures.mean, figures.meanInterval)),
  },
];

/** `1 600 ± 9`, or with both limits where they are not equally far. */
const aroundText = (value: number, range: Figures['meanInterval']): string =>
  range === null ? grouped(value) : `${grouped(value)} ± ${grouped((range.high - range.low) / 2)}`;

/** `median of WBINVD with the groups less that of WBINVD before the groups: +811 µs (95 % sure: …), …: different`. */
export const differenceLine = (
  {from, to, cycles, nanoseconds, ratio, different}: SeriesDifference,
  paint: ChalkInstance,
  names: {from: string; to: string} = {from: seriesName(from), to: seriesName(to)},
): string => {
  const times = ratio === null ? '' : `, ${timesText(ratio)}`;
  const inCycles = cycles === null ? '' : `, ${signed(grouped(cycles.estimate), cycles.estimate)} cycles`;
  const verdict =
    different === null
      ? 'too few samples to decide (--samples 1000 is usually enough)'
      : different
        ? 'different'
        : 'these samples show no difference';
  const colour = different === true ? paint.yellow : paint.dim;
  return printable(
    `median of ${names.to} less that of ${names.from}: ${intervalText(nanoseconds)}${inCycles}${times}: `,
  ).concat(colour(verdict));
};

const intervalText = ({estimate, low, high}: Interval): string => {
  if (low === null || high === null) return signedTime(estimate);
  const unit = unitFor(Math.max(...[estimate, low, high].map(Math.abs)));
  const text = (value: number): string => signed(inUnit(value, unit), value);
  return `${text(estimate)} ${unit.name} (95 % sure: ${text(low)} to ${text(high)} ${unit.name})`;
};

const rangeText = (low: number, high: number): string => {
  const unit = unitFor(Math.max(Math.abs(low), Math.abs(high)));
  return `${inUnit(low, unit)} to ${inUnit(high, unit)} ${unit.name}`;
};

const timesText = (ratio: number): string =>
  ratio >= 10 ? `${grouped(ratio)} times as much` : `${ratio.toFixed(3)} times as much`;

const histogramOf = (series: SeriesDocument, {tscKhz}: Clock, {paint, width}: ProbeTextOptions): string[] => {
  const {histogram, subtracted: subtract} = series;
  if (histogram === null) return [];
  return [
    '',
    ...histogramLines(seriesName(series), histogram, {factor: 1e6 / tscKhz, subtract, paint, width}),
  ];
};

const outlierLines = (series: SeriesDocument, clock: Clock, width: number | null): string[] => {
  const lines = series.outliers.map(
    (outliers) => `${seriesName(series)}: ${outlierText(outliers, series, clock)}`,
  );
  if (series.drifting) {
    lines.push(
      `${seriesName(series)}: the level of the samples drifts during the run, so the intervals are wide; a quiet host or --cpu may narrow them, a longer run does not`,
    );
  }
  return lines.length === 0 ? [] : ['', ...wrappedFacts(lines.map(printable), width)];
};

const outlierText = (
  {samples, max, explanation, kind}: Outliers,
  {subtracted}: SeriesDocument,
  {tscKhz}: Clock,
): string => {
  const longest = timeText(((max - subtracted) * 1e6) / tscKhz);
  const which = kind === 'first-touch' ? 'at the beginning ' : '';
  return `${grouped(samples)} ${samples === 1 ? 'sample' : 'samples'} ${which}far above the others, up to ${longest}: ${explanation}`;
};

/** The record of the machine, one fact on a line. */
const machineLines = (machine: MachineRecord, clock: Clock, {paint, width}: ProbeTextOptions): string[] => {
  const record: [string, string | null][] = [
    ['CPU', joined([machine.cpu, machine.vendor, signatureText(machine)])],
    ['microcode', machine.microcode],
    ['kernel', joined([machine.kernel, machine.architecture])],
    ['KVM back end', machine.kvmModule],
    ['hypervisor below', hypervisorText(machine)],
    [
      'CPU pinned',
      machine.pinnedCpu === null
        ? `no (allowed: ${machine.allowed ?? 'unknown'})`
        : String(machine.pinnedCpu),
    ],
    ['governor', joined([machine.governor, machine.frequencyDriver])],
    ['clock', `${grouped(clock.tscKhz)} kHz, from ${clock.source}`],
    ['mitigations', machine.mitigations === null ? null : mitigationText(machine.mitigations)],
    ['kvfio', machine.kvfio],
  ];
  const label = Math.max(...record.map(([name]) => name.length));
  return record.flatMap(([name, value]) => {
    const indent = ' '.repeat(label + 2);
    return wrapped(printable(value ?? 'unknown'), width, indent, paint.dim(name.padEnd(label + 2)));
  });
};

const joined = (parts: readonly (string | null)[]): string | null =>
  parts.filter((part) => part !== null).join(', ') || null;

/** `6-143-8` in words; as it is where it is anything else. */
const signatureText = ({signature}: MachineRecord): string | null =>
  signature?.replace(/^(\d+)-(\d+)-(\d+)$/, 'family $1, model $2, stepping $3') ?? null;

const hypervisorText = ({virtualised, hypervisor}: MachineRecord): string | null => {
  if (virtualised === null) return null;
  return virtualised ? (hypervisor ?? 'one that does not say which') : 'none';
};

/** What does not apply to this CPU is left out, for the document has it. */
const mitigationText = (mitigations: Readonly<Record<string, string>>): string =>
  Object.entries(mitigations)
    .filter(([, state]) => state !== 'Not affected')
    .map(([name, state]) => `${name}: ${state.replace(/^Mitigation: /, '')}`)
    .join('; ') || 'none needed';

const signed = (text: string, value: number): string => (value > 0 ? `+${text}` : text);

const signedTime = (nanoseconds: number): string => signed(timeText(nanoseconds), nanoseconds);
