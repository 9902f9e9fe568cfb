import {Failure} from '../failure.js';
import type {MachineRecord} from './machine-record.js';
import {readProbeRun, type ReadRun, type ReadSeries} from './read-probe-run.js';
import {differenceAcross, type SeriesDifference, type SeriesName} from './series-document.js';
import {seriesName, whenOf} from './series-name.js';
import type {Clock} from './series.js';

/** What `kvfio probe --compare A B --json` prints. */
export interface CompareDocument {
  schemaVersion: 1;
  command: 'probe-compare';
  a: ComparedRun;
  b: ComparedRun;
  /** What the two machine records say differently, `clock` included. */
  machineDifferences: {field: string; a: string | null; b: string | null}[];
  pairs: ComparedPair[];
  /** Series of one run that the other does not have. */
  onlyInA: SeriesName[];
  onlyInB: SeriesName[];
  warnings: {message: string}[];
}

export interface ComparedRun {
  path: string;
  clock: Clock;
  machine: MachineRecord;
}

/** The same operation at the same time of two runs. `alone` and `before-groups` are the same: no group has been added. */
export interface ComparedPair {
  operation: ReadSeries['operation'];
  a: ComparedSeries;
  b: ComparedSeries;
  /** The second run's median less the first one's; null when one of them has no samples. */
  difference: SeriesDifference | null;
}

export type ComparedSeries = Omit<ReadSeries, 'operation' | 'medianReplicates'> & Pick<SeriesName, 'when'>;

/**
 * Puts two runs side by side.
 *
 * @throws {@link Failure} when a file is none of a run, or they have no operation in common
 */
export const compareRuns = (pathA: string, pathB: string): CompareDocument => {
  const a = readProbeRun(pathA);
  const b = readProbeRun(pathB);
  const partners = a.series.map((one) => ({
    one,
    other: b.series.find((other) => keyOf(other) === keyOf(one)),
  }));
  const pairs = partners.flatMap(({one, other}) =>
    other === undefined ? [] : [pairOf({series: one, clock: a.clock}, {series: other, clock: b.clock})],
  );
  if (pairs.length === 0) throw nothingCommon({path: pathA, ...a}, {path: pathB, ...b});
  return {
    schemaVersion: 1,
    command: 'probe-compare',
    a: {path: pathA, clock: a.clock, machine: a.machine},
    b: {path: pathB, clock: b.clock, machine: b.machine},
    machineDifferences: machineDifferences(a, b),
    pairs,
    onlyInA: missing(a.series, b.series),
    onlyInB: missing(b.series, a.series),
    warnings: pairs.flatMap((pair) => warningsOf(pair)),
  };
};

const keyOf = ({operation, phase}: Pick<ReadSeries, 'operation' | 'phase'>): string =>
  `${operation} ${phase === 'alone' ? 'coherent' : phase}`;

interface Measured {
  series: ReadSeries;
  clock: Clock;
}

const pairOf = (one: Measured, other: Measured): ComparedPair => ({
  operation: one.series.operation,
  a: comparedSeries(one.series),
  b: comparedSeries(other.series),
  difference: differenceAcross(one, other),
});

const comparedSeries = ({
  phase,
  samples,
  subtracted,
  cycles,
  nanoseconds,
  drifting,
  histogram,
}: ReadSeries): ComparedSeries => ({
  when: whenOf(phase),
  phase,
  samples,
  subtracted,
  cycles,
  nanoseconds,
  drifting,
  histogram,
});

const missing = (series: readonly ReadSeries[], others: readonly ReadSeries[]): CompareDocument['onlyInA'] =>
  series
    .filter((one) => others.every((other) => keyOf(other) !== keyOf(one)))
    .map(({operation, phase}) => ({operation, when: whenOf(phase), phase}));

const warningsOf = ({operation, a, b}: ComparedPair): {message: string}[] => {
  const name = operation.toUpperCase();
  const subtracted = [a, b].filter((each) => each.subtracted !== 0).length;
  const drifting = a.drifting || b.drifting;
  return [
    ...(subtracted === 1
      ? [{message: `${name}: one run has the median of the operation empty subtracted, the other has not`}]
      : []),
    ...(drifting
      ? [{message: `${name}: one of the runs drifts, and the interval of the difference is wide for it`}]
      : []),
  ];
};

const machineDifferences = (a: ReadRun, b: ReadRun): CompareDocument['machineDifferences'] => {
  const ofA = flattened(a);
  const ofB = flattened(b);
  return [...new Set([...ofA.keys(), ...ofB.keys()])]
    .map((field) => ({field, a: ofA.get(field) ?? null, b: ofB.get(field) ?? null}))
    .filter((each) => each.a !== each.b);
};

const flattened = ({machine: {mitigations, ...rest}, clock}: ReadRun): Map<string, string | null> =>
  new Map<string, string | null>([
    ...Object.entries<string | number | boolean | null>(rest).map(
      ([name, value]) => [name, value === null ? null : String(value)] as const,
    ),
    ...Object.entries(mitigations ?? {}).map(([name, state]) => [`mitigations.${name}`, state] as const),
    ['clock', `${clock.tscKhz} kHz`],
  ]);

const nothingCommon = (a: ReadRun & {path: string}, b: ReadRun & {path: string}): Failure => {
  const list = ({series}: ReadRun): string => series.map(seriesName).join(', ') || 'nothing';
  return new Failure({
    code: 'PROBE_NOTHING_COMMON',
    kind: 'usage',
    what: 'The two runs cannot be compared.',
    why: `They have no operation in common: ${a.path} has ${list(a)}, ${b.path} has ${list(b)}.`,
    hint: 'Measure the same operations in both, with --operation.',
  });
};
