import {setImmediate as turn, setTimeout as sleep} from 'node:timers/promises';
import type {Deadline} from '../../linux/deadline.js';
import {SLICE_MAX, type ProbeMachine} from '../machine.js';
import type {Operation, Phase, Series} from '../series.js';
import type {HostCpus} from './host-cpus.js';
import {SliceSize} from './slice-size.js';

export interface SampleOptions {
  phase: Phase;
  operations: readonly Operation[];
  /** Number of samples of each operation. */
  samples: number;
  /** Number of samples of each operation that are taken first and not recorded. */
  warmup: number;
  /** The end of sampling, whatever has been measured. */
  deadline: Deadline;
  /** Aborted when the user wants an end. */
  signal: AbortSignal;
  cpus: HostCpus;
  /**
   * Over how many seconds the samples are spread at least, when they take less. What disturbs a host lasts for tenths of
   * a second and more: without pauses a run of 100 ms sees one state of it, and the next run another.
   */
  spread: number;
  /** Whether WBINVD may stop the whole host: then nine tenths of the time are left to it. */
  gentle: boolean;
  /** Called now and then with how many samples there are, of how many, and about how many seconds the rest takes, warmup included: null while it is too early for an estimate. */
  onProgress: (taken: number, wanted: number, secondsLeft: number | null) => void;
}

export type Ending = 'complete' | 'duration' | 'interrupted';

/** What one phase of a run gave. */
export interface SampledPhase {
  phase: Phase;
  series: Series[];
  ended: Ending;
  /** Operations that the guest executed, with those of the warmup, but for the empty ones, which nobody notices. */
  operations: number;
  /** How often KVM left the guest for whatever reason; null when it does not report that. */
  exits: number | null;
  /** How often KVM_RUN returned. */
  slices: number;
  /** How long the longest one kept Node's loop waiting, in seconds. */
  longestSlice: number;
  seconds: number;
  /** Seconds of these in KVM_RUN. */
  guestSeconds: number;
}

/** Milliseconds for one slice: Ctrl-C and progress have to wait for its end. */
const SLICE = 20;
/** The same where the whole host may have to wait for the end of a slice. */
const GENTLE_SLICE = 5;
const GENTLE_SHARE = 0.1;
/** The parts of a run that is spread: as many as the statistics make of it. */
const ROUNDS = 40;

/**
 * Takes samples of all operations in rounds, each round beginning with another operation, until there are as many as
 * wanted, or the time is over, or the user wants an end.
 *
 * @throws {@link Failure} when the guest cannot go on
 */
export const sample = async (machine: ProbeMachine, options: SampleOptions): Promise<SampledPhase> => {
  const sampling = new Sampling(machine, options);
  const began = performance.now();
  const [guestBegan, runsBegan, exitsBegan] = [machine.milliseconds, machine.runs, machine.exits()];
  const ended = await sampling.run();
  const exits = machine.exits();
  return {
    phase: options.phase,
    series: options.operations.map((operation) => ({
      operation,
      phase: options.phase,
      ticks: sampling.ticksOf(operation),
    })),
    ended,
    operations: sampling.executed,
    exits: exits === null || exitsBegan === null ? null : Number(exits - exitsBegan),
    slices: machine.runs - runsBegan,
    longestSlice: sampling.longest / 1000,
    seconds: (performance.now() - began) / 1000,
    guestSeconds: (machine.milliseconds - guestBegan) / 1000,
  };
};

/** Seconds in which a guest that has just begun is slower than later. */
const TOO_EARLY = 0.5;

/** Samples of one operation so far. */
interface Recording {
  ticks: Float64Array;
  taken: number;
}

class Sampling {
  /** Operations so far that make KVM leave the guest. */
  executed = 0;
  /** Milliseconds of the longest slice. */
  longest = 0;
  readonly #machine: ProbeMachine;
  readonly #options: SampleOptions;
  readonly #size: SliceSize;
  readonly #recordings: ReadonlyMap<Operation, Recording>;
  readonly #rubbish = new Float64Array(SLICE_MAX);
  readonly #began = performance.now();
  #round = 0;
  /** Operations so far, those of the warmup and the empty bracket included. */
  #done = 0;

  constructor(machine: ProbeMachine, options: SampleOptions) {
    this.#machine = machine;
    this.#options = options;
    this.#size = new SliceSize(options.gentle ? GENTLE_SLICE : SLICE);
    this.#recordings = new Map(
      options.operations.map((operation) => [
        operation,
        {ticks: new Float64Array(options.samples), taken: 0},
      ]),
    );
  }

  async run(): Promise<Ending> {
    const {warmup, samples, spread} = this.#options;
    return (
      (await this.#rounds(warmup, 0, () => this.#discarded())) ??
      (await this.#rounds(samples, spread, (operation) => this.#recording(operation))) ??
      'complete'
    );
  }

  ticksOf(operation: Operation): Float64Array {
    const {ticks, taken} = this.#recording(operation);
    return ticks.subarray(0, taken);
  }

  /** Null when it came to its end. */
  async #rounds(
    wanted: number,
    spread: number,
    recordingOf: (operation: Operation) => Recording,
  ): Promise<Ending | null> {
    const began = performance.now();
    const most = spread > 0 ? Math.ceil(wanted / ROUNDS) : wanted;
    let cold = false;
    for (let taken = 0; taken < wanted;) {
      const count = Math.min(this.#size.next(), wanted - taken, most);
      for (const operation of this.#order()) {
        const ending =
          (cold ? await this.#take(operation, this.#lead, this.#discarded()) : null) ??
          (await this.#take(operation, count, recordingOf(operation)));
        if (ending !== null) return ending;
      }
      taken += count;
      cold = taken < wanted && (await this.#waitUntil(began + (spread * 1000 * taken) / wanted));
    }
    return null;
  }

  /** How many samples after a pause are not recorded: the CPU has slept, or done something else. */
  get #lead(): number {
    const {gentle, cpus} = this.#options;
    return gentle || cpus.wanders ? 1 : 5;
  }

  #discarded(): Recording {
    return {ticks: this.#rubbish, taken: 0};
  }

  /** Waits until a moment. @returns whether it had to wait */
  async #waitUntil(moment: number): Promise<boolean> {
    const {deadline} = this.#options;
    const pause = deadline.remaining(moment - performance.now());
    if (pause <= 0) return false;
    await this.#pause(pause);
    return true;
  }

  /** The operations, beginning with another one each time. */
  #order(): Operation[] {
    const {operations} = this.#options;
    const first = this.#round % operations.length;
    this.#round += 1;
    return [...operations.slice(first), ...operations.slice(0, first)];
  }

  async #take(operation: Operation, count: number, recording: Recording): Promise<Ending | null> {
    for (let left = count; left > 0;) {
      const {signal, deadline} = this.#options;
      if (signal.aborted) return 'interrupted';
      if (deadline.passed) return 'duration';
      const began = performance.now();
      const taken = this.#slice(operation, left, recording);
      const milliseconds = performance.now() - began;
      this.longest = Math.max(this.longest, milliseconds);
      recording.taken += taken;
      this.#done += taken;
      left -= taken;
      if (operation !== 'empty') this.executed += taken;
      if (taken > 0) this.#size.took(operation, taken, milliseconds);
      this.#report();
      await this.#rest(operation, milliseconds);
    }
    return null;
  }

  /** Takes up to `count` samples, at least one unless a signal came. */
  #slice(operation: Operation, count: number, {ticks, taken}: Recording): number {
    const {cpus} = this.#options;
    cpus.look();
    if (!cpus.wanders) return this.#machine.take(operation, count, ticks, taken);
    const end = performance.now() + SLICE;
    let done = 0;
    do {
      cpus.wander(() => {
        this.#machine.visit();
      });
      const one = this.#machine.take(operation, 1, ticks, taken + done);
      if (one === 0) break;
      done += one;
    } while (done < count && performance.now() < end);
    return done;
  }

  /** Lets Node's loop have its turn, and the host its share. */
  async #rest(operation: Operation, milliseconds: number): Promise<void> {
    const {gentle} = this.#options;
    if (!gentle || !(operation === 'wbinvd' || operation === 'wbnoinvd')) return turn();
    await this.#pause(milliseconds * (1 / GENTLE_SHARE - 1));
  }

  async #pause(milliseconds: number): Promise<void> {
    const {signal} = this.#options;
    await sleep(milliseconds, undefined, {signal}).catch((error: unknown) => {
      if (!signal.aborted) throw error;
    });
  }

  #report(): void {
    const {operations, samples, onProgress} = this.#options;
    let taken = 0;
    for (const recording of this.#recordings.values()) taken += recording.taken;
    onProgress(taken, operations.length * samples, this.#secondsLeft());
  }

  #secondsLeft(): number | null {
    const {operations, samples, warmup, spread, deadline} = this.#options;
    const elapsed = (performance.now() - this.#began) / 1000;
    if (elapsed < TOO_EARLY || this.#done === 0) return null;
    const left = operations.length * (warmup + samples) - this.#done;
    const atThisRate = (elapsed / this.#done) * Math.max(0, left);
    return deadline.remaining(Math.max(atThisRate, spread - elapsed) * 1000) / 1000;
  }

  #recording(operation: Operation): Recording {
    const recording = this.#recordings.get(operation);
    if (recording === undefined) throw new RangeError(`no samples of ${operation} are taken`);
    return recording;
  }
}
