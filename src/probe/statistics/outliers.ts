import {quantile} from './quantile.js';

/** Samples that say more about the machine than about the operation. */
export interface Outliers {
  kind: 'first-touch' | 'interrupts' | 'spikes';
  samples: number;
  /** Largest of them, in ticks. */
  max: number;
  /** Frequency of `interrupts`, where the time of the run is known; null otherwise. */
  hertz: number | null;
  /** What they are, in words; without numbers that depend on a unit. */
  explanation: string;
}

export interface OutlierContext {
  /** Ticks per millisecond. */
  tscKhz: number;
  /** Time that passed from the first sample to the last, in seconds; null when it is not known. */
  seconds: number | null;
}

/**
 * The first samples of a run as long as they are all far above the others, and spikes: single samples far above. Far is
 * {@link FAR} times the robust standard deviation above the median.
 *
 * Interrupts that come at a fixed rate show by their distances: in the time of the run they are multiples of one period.
 *
 * @param ticks - at least one sample, in the order taken
 * @param sorted - the same, upwards
 */
export const outliersOf = (
  ticks: Float64Array,
  sorted: Float64Array,
  {tscKhz, seconds}: OutlierContext,
): Outliers[] => {
  const limit = farAbove(sorted);
  let first = 0;
  while (first < ticks.length && (ticks[first] ?? 0) > limit) first += 1;
  // a run without anything but spikes has none
  if (first > ticks.length / 10) return [];
  const spikes: number[] = [];
  for (let index = first; index < ticks.length; index += 1)
    if ((ticks[index] ?? 0) > limit) spikes.push(index);
  const outliers: Outliers[] = [];
  if (first > 0) {
    outliers.push({
      kind: 'first-touch',
      samples: first,
      max: largest(ticks, 0, first),
      hertz: null,
      explanation: `the run begins with ${first === 1 ? 'it' : 'them'}: code and memory are touched for the first time`,
    });
  }
  if (spikes.length === 0) return outliers;
  const usable = isDense(ticks, {tscKhz, seconds}) ? seconds : null;
  const perSecond = rateOf(ticks, spikes, {tscKhz, seconds: usable});
  // without the time that passed between samples a period shows, but not how long it is
  const hertz = usable === null ? null : perSecond;
  outliers.push({
    kind: perSecond === null ? 'spikes' : 'interrupts',
    samples: spikes.length,
    max: spikes.reduce((most, index) => Math.max(most, ticks[index] ?? 0), 0),
    hertz: hertz === null ? null : Math.round(hertz * 10) / 10,
    explanation: perSecond === null ? NO_PERIOD : periodText(hertz),
  });
  return outliers;
};

/** Whether the samples took most of the time: then what lay between them was short, and about the same each time. */
const isDense = (ticks: Float64Array, {tscKhz, seconds}: OutlierContext): boolean => {
  if (seconds === null) return false;
  let elapsed = 0;
  for (const value of ticks) elapsed += value;
  return elapsed > 0.5 * seconds * tscKhz * 1000;
};

const NO_PERIOD =
  'the host did something else in between: interrupts, other tasks or an outer hypervisor; no fixed period shows';

const periodText = (hertz: number | null): string => {
  if (hertz === null) return 'they are a fixed period apart, as the interrupts of a timer are';
  const tick = TICK_RATES.find((rate) => Math.abs(hertz / rate - 1) < 0.02);
  return `they are a fixed period apart: ${tick === undefined ? 'something' : `the timer interrupt of a kernel with ${tick} Hz`} that comes ${Math.round(hertz)} times a second`;
};

/** Values of CONFIG_HZ (kernel/Kconfig.hz). */
const TICK_RATES = [100, 250, 300, 1000];

const FAR = 10;

/** Robust: of samples of which fewer than a quarter are far, these do not change it much. */
const farAbove = (sorted: Float64Array): number => {
  const median = quantile(sorted, 0.5);
  // of a normal distribution
  const deviation = (quantile(sorted, 0.75) - quantile(sorted, 0.25)) / 1.349;
  return median + FAR * Math.max(deviation, Math.abs(median) / 100);
};

const largest = (ticks: Float64Array, start: number, end: number): number =>
  ticks.subarray(start, end).reduce((most, value) => Math.max(most, value), 0);

/**
 * How often per second something comes that hits a sample now and then, when it comes at a fixed rate.
 *
 * The moment of a spike is the sum of the samples before it, stretched to the time that the run took. For the right
 * frequency all moments have nearly the same phase; for others the phases are spread, and the squared length of their
 * sum, divided by their number, is seldom above a few (Rayleigh's test).
 */
const rateOf = (
  ticks: Float64Array,
  spikes: readonly number[],
  {tscKhz, seconds}: OutlierContext,
): number | null => {
  if (spikes.length < FEWEST || spikes.length > ticks.length / 10) return null;
  const moments = momentsOf(
    ticks,
    spikes.slice(0, MAX_SPIKES),
    seconds === null ? null : seconds * tscKhz * 1000,
  );
  const span = (moments.at(-1) ?? 0) - (moments[0] ?? 0);
  if (span <= 0) return null;
  let best = {frequency: 0, power: 0};
  // an interrupt hits a sample only if that is being taken, so it may be much more frequent than spikes
  const highest = (RARELY_HIT * moments.length) / span;
  const resolution = 0.25 / span;
  for (let frequency = (0.9 * moments.length) / span; frequency < highest; frequency += resolution) {
    const power = powerAt(moments, frequency);
    // harmonics of the right frequency are as strong, but higher
    if (power > 1.05 * best.power) best = {frequency, power};
  }
  return best.power < 0.5 * moments.length || best.power < CLEAR ? null : best.frequency * tscKhz * 1000;
};

const FEWEST = 20;
const MAX_SPIKES = 200;
const RARELY_HIT = 12;
/** Chance reaches it at one of 20 000 frequencies in one run of ten thousand. */
const CLEAR = 19;

const momentsOf = (ticks: Float64Array, spikes: readonly number[], whole: number | null): number[] => {
  let elapsed = 0;
  for (const value of ticks) elapsed += value;
  const pause = whole === null ? 0 : Math.max(0, whole - elapsed) / ticks.length;
  const moments: number[] = [];
  let moment = 0;
  let index = 0;
  for (const spike of spikes) {
    for (; index < spike; index += 1) moment += (ticks[index] ?? 0) + pause;
    moments.push(moment);
  }
  return moments;
};

const powerAt = (moments: readonly number[], frequency: number): number => {
  let real = 0;
  let imaginary = 0;
  for (const moment of moments) {
    const phase = 2 * Math.PI * frequency * moment;
    real += Math.cos(phase);
    imaginary += Math.sin(phase);
  }
  return (real * real + imaginary * imaginary) / moments.length;
};
