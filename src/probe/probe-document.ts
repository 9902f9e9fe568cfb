import type {Coherency} from '../kvm-vfio/coherency.js';
import type {MachineRecord} from './machine-record.js';
import type {PairedGroup} from './paired-groups.js';
import type {MeasuredPhase, Run} from './run.js';
import type {Ending} from './sampling/sample.js';
import {seriesDifference, seriesDocument, type ProbeRun, type SeriesDifference} from './series-document.js';
import {whenOf, type When} from './series-name.js';
import type {Operation, Phase} from './series.js';
import {verdictOf, type ProbeVerdict} from './verdict.js';

/** What `kvfio probe --json` prints. */
export interface ProbeDocument extends ProbeRun {
  /** `duration`: the time was over first; `interrupted`: the user wanted an end. */
  ended: Ending;
  verdict: ProbeVerdict;
  /** The groups of a paired run; empty otherwise. */
  groups: PairedGroup[];
  phases: PhaseDocument[];
  /** The differences of a paired run, for each operation: with the groups less before them, and after them less before. */
  differences: SeriesDifference[];
  settings: {
    operations: Operation[];
    /** Number of samples of each operation in each phase; null: as many as fitted into the duration. */
    samples: number | null;
    warmup: number;
    /** Seconds that all phases may take together; null for no limit. */
    duration: number | null;
    /** Over how many seconds the samples of each phase were spread at least. */
    spread: number;
    /** Bytes that the guest wrote to before each sample. */
    dirty: number;
    /** Whether the median of the empty bracket was taken off. */
    subtracted: boolean;
  };
  cpus: {
    /** The CPU of the host that samples were taken on; null when the kernel chose. */
    pinned: number | null;
    /** CPUs that the vCPU was moved over before each sample. */
    visited: number[];
    /** CPUs on which it was seen when samples were taken. */
    seen: number[];
  };
}

/** What KVM says of one phase. */
export interface PhaseDocument {
  when: When;
  /** Old name of `when`, with other words: `coherent` before the groups, `attached` with them, `deleted` after them. */
  phase: Phase;
  ended: Ending;
  coherency: Coherency;
  /** Operations of each kind that were not recorded: fewer than asked for where they would flush the host. */
  warmup: number;
  /** Operations that the guest executed, warmup included, but for the empty bracket. Each has to make KVM leave it. */
  operations: number;
  /** How often KVM left the guest, as it counts itself; null when this kernel does not report it. */
  exits: number | null;
  /** Exits that were none of those operations: interrupts of the host, and the ends of slices. */
  otherExits: number | null;
  /** How often the guest was started. */
  slices: number;
  /** The longest of these, in seconds: for so long nothing else of kvfio went on. */
  longestSlice: number;
  seconds: number;
  /** Seconds of these in KVM_RUN. */
  guestSeconds: number;
}

export interface ProbeDocumentOptions {
  settings: ProbeDocument['settings'];
  machine: MachineRecord;
}

export const probeDocument = (run: Run, {settings, machine}: ProbeDocumentOptions): ProbeDocument => {
  const {clock, phases} = run;
  const series = phases.flatMap((phase) => {
    const {seconds} = phase;
    const subtract = settings.subtracted ? emptyBracket(phase, clock) : 0;
    return phase.series.map((each) =>
      seriesDocument(each, clock, {seconds, subtract: each.operation === 'empty' ? 0 : subtract}),
    );
  });
  const named = (operation: Operation, phase: Phase) =>
    series.find((each) => each.operation === operation && each.phase === phase && each.samples > 0);
  const difference = (operation: Operation, phase: Phase): SeriesDifference | null => {
    const [from, to] = [named(operation, 'coherent'), named(operation, phase)];
    return from === undefined || to === undefined ? null : seriesDifference(from, to, clock);
  };
  const paired = run.groups.length > 0;
  return {
    schemaVersion: 1,
    command: 'probe',
    ended: run.ended,
    verdict: verdictOf({
      machine,
      coherency: coherencyOf(phases, paired),
      paired,
      series,
      difference: difference('wbinvd', 'attached'),
      operations: sum(phases, ({operations}) => operations),
      exits: phases.some(({exits}) => exits === null) ? null : sum(phases, ({exits}) => exits ?? 0),
    }),
    clock,
    machine,
    groups: [...run.groups],
    phases: phases.map(phaseDocument),
    series,
    differences: settings.operations
      .flatMap((operation) => [difference(operation, 'attached'), difference(operation, 'deleted')])
      .filter((each) => each !== null),
    settings,
    cpus: {pinned: run.cpus.pinned, visited: [...run.cpus.visited], seen: [...run.cpus.seen]},
  };
};

const phaseDocument = (measured: MeasuredPhase): PhaseDocument => {
  const {phase, ended, coherency, warmup, operations, exits, slices, longestSlice, seconds, guestSeconds} =
    measured;
  return {
    when: whenOf(phase),
    phase,
    ended,
    coherency,
    warmup,
    operations,
    exits,
    // a back end that emulates instructions leaves the guest less often than that
    otherExits: exits === null || exits < operations ? null : exits - operations,
    slices,
    longestSlice: milliseconds(longestSlice),
    seconds: milliseconds(seconds),
    guestSeconds: milliseconds(guestSeconds),
  };
};

const milliseconds = (seconds: number): number => Math.round(seconds * 1e3) / 1e3;

const emptyBracket = ({series}: MeasuredPhase, clock: Run['clock']): number => {
  const empty = series.find(({operation, ticks}) => operation === 'empty' && ticks.length > 0);
  return empty === undefined ? 0 : (seriesDocument(empty, clock).cycles?.median ?? 0);
};

const coherencyOf = (phases: readonly MeasuredPhase[], paired: boolean): Coherency['state'] =>
  phases.find(({phase}) => phase === (paired ? 'attached' : 'alone'))?.coherency.state ?? 'unknown';

const sum = (phases: readonly MeasuredPhase[], of: (phase: MeasuredPhase) => number): number =>
  phases.reduce((total, phase) => total + of(phase), 0);
