import type {MachineRecord} from './machine-record.js';
import type {Clock, Series} from './series.js';
import {differenceOfMedians} from './statistics/difference.js';
import {rounded} from './statistics/figures.js';
import {scaled, type Interval} from './statistics/interval.js';
import {whenOf, type When} from './series-name.js';
import {summarise, type SummariseOptions, type Summary} from './statistics/summary.js';

/** One entry of `series` in the document of `kvfio probe`. */
export interface SeriesDocument extends Summary {
  operation: Series['operation'];
  when: When;
  /** Old name of `when`, with other words: `coherent` before the groups, `attached` with them, `deleted` after them. */
  phase: Series['phase'];
}

/** The part of the document of `kvfio probe` that another run is compared with. */
export interface ProbeRun {
  schemaVersion: 1;
  /** Distinguishes this document from those of other commands. */
  command: 'probe';
  clock: Clock;
  machine: MachineRecord;
  series: SeriesDocument[];
}

/** How far the medians of two series are apart: the second less the first. */
export interface SeriesDifference {
  from: SeriesName;
  to: SeriesName;
  /** Difference in ticks; null when the two clocks differ. */
  cycles: Interval | null;
  nanoseconds: Interval;
  /** Second by first; null when that is not above 0. */
  ratio: number | null;
  /** Whether the interval leaves out 0; null when there are too few samples to have one. */
  different: boolean | null;
}

export type SeriesName = Pick<SeriesDocument, 'operation' | 'when' | 'phase'>;

export const seriesDocument = (
  {operation, phase, ticks}: Series,
  clock: Clock,
  options: SummariseOptions = {},
): SeriesDocument => ({operation, when: whenOf(phase), phase, ...summarise(ticks, clock, options)});

/** Difference of two series of one run. Null when one has no samples. */
export const seriesDifference = (
  from: SeriesDocument,
  to: SeriesDocument,
  clock: Clock,
): SeriesDifference | null => differenceAcross({series: from, clock}, {series: to, clock});

/** Difference of two series that may have been measured with different clocks. Null when one has no samples. */
export const differenceAcross = (from: MeasuredSeries, to: MeasuredSeries): SeriesDifference | null => {
  const a = inNanoseconds(from);
  const b = inNanoseconds(to);
  if (a === null || b === null) return null;
  const nanoseconds = differenceOfMedians(a, b);
  const {low, high} = nanoseconds;
  const sameClock = from.clock.tscKhz === to.clock.tscKhz;
  return {
    from: nameOf(from.series),
    to: nameOf(to.series),
    cycles: sameClock ? roundedInterval(scaled(nanoseconds, from.clock.tscKhz / 1e6)) : null,
    nanoseconds: roundedInterval(nanoseconds),
    ratio: a.median > 0 ? rounded(b.median / a.median, 4) : null,
    different: low === null || high === null ? null : low > 0 || high < 0,
  };
};

export interface MeasuredSeries {
  series: Pick<SeriesDocument, 'operation' | 'phase' | 'cycles' | 'medianReplicates'>;
  clock: Clock;
}

const nameOf = ({operation, phase}: Pick<SeriesName, 'operation' | 'phase'>): SeriesName => ({
  operation,
  when: whenOf(phase),
  phase,
});

const inNanoseconds = ({series: {cycles, medianReplicates}, clock: {tscKhz}}: MeasuredSeries) =>
  cycles === null
    ? null
    : {
        median: (cycles.median * 1e6) / tscKhz,
        replicates: medianReplicates.map((replicate) => (replicate * 1e6) / tscKhz),
      };

const roundedInterval = ({estimate, low, high, confidence}: Interval): Interval => ({
  estimate: rounded(estimate, 2),
  low: low === null ? null : rounded(low, 2),
  high: high === null ? null : rounded(high, 2),
  confidence,
});
