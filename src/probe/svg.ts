import type {Clock, Series} from './series.js';
import {histogramOf} from './statistics/bins.js';
import {countBelow, quantile} from './statistics/quantile.js';

export interface SvgOptions {
  /** Ticks that were taken off every sample. */
  subtract?: number;
  /** One line about the machine. */
  subtitle: string;
}

/**
 * A drawing with one panel for each series: the histogram, and over it the cumulative curve, whose height is the share
 * of the samples that are not longer. All panels have the same axis, so that they can be compared by eye.
 *
 * It follows the light or dark scheme of its viewer where that tells, and is legible without. Every panel has a text for
 * those who do not see it.
 */
export const svgOf = (
  series: readonly Series[],
  {tscKhz}: Clock,
  {subtract = 0, subtitle}: SvgOptions,
): string => {
  const measured = series
    .filter(({ticks}) => ticks.length > 0)
    .map((each) => ({...each, sorted: each.ticks.slice().sort()}));
  const unit = 1e6 / tscKhz;
  const axis = axisOf(
    measured.map(({sorted}) => sorted),
    subtract,
    unit,
  );
  const height = TOP + measured.length * (PANEL + GAP) + 8;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-labelledby="title description" font-family="system-ui, sans-serif" font-size="12">`,
    `<title id="title">${escaped(title(measured))}</title>`,
    `<desc id="description">${escaped(measured.map((each) => describe(each, subtract, unit)).join(' '))}</desc>`,
    `<style>${STYLE}</style>`,
    `<rect class="ground" width="${WIDTH}" height="${height}"/>`,
    `<text class="ink" x="${LEFT}" y="24" font-size="16" font-weight="600">${escaped(title(measured))}</text>`,
    `<text class="faint" x="${LEFT}" y="42">${escaped(subtitle)}</text>`,
    ...measured.flatMap((each, index) =>
      panel(each, axis, {top: TOP + index * (PANEL + GAP), subtract, unit, colour: COLOURS[each.phase]}),
    ),
    '</svg>',
    '',
  ].join('\n');
};

const WIDTH = 840;
const LEFT = 24;
const RIGHT = 48;
const TOP = 60;
const PANEL = 190;
const GAP = 56;
const RANGES = 120;

/** Of about the same contrast on white and on near-black. */
const COLOURS: Record<Series['phase'], string> = {
  alone: '#3b82c4',
  coherent: '#3b82c4',
  attached: '#d9642b',
  deleted: '#2e9e6b',
};

const STYLE = [
  '.ground{fill:#ffffff}.ink{fill:#1f2328}.faint{fill:#5b636b}.grid{stroke:#d5dae0}.rule{stroke:#8b949e}.curve{stroke:#1f2328}',
  '@media (prefers-color-scheme:dark){.ground{fill:#0f1216}.ink{fill:#e6e9ed}.faint{fill:#a3abb5}.grid{stroke:#30363d}.rule{stroke:#6e7681}.curve{stroke:#e6e9ed}}',
].join('');

type Sorted = Series & {sorted: Float64Array};

interface Axis {
  scale: 'linear' | 'log';
  /** In nanoseconds. */
  from: number;
  to: number;
  /** Where it has numbers. */
  ticks: number[];
}

/** From the shortest sample to somewhat above the 99th percentile of the longest series: the rest is told in words. */
const axisOf = (all: readonly Float64Array[], subtract: number, unit: number): Axis => {
  const value = (ticks: number): number => (ticks - subtract) * unit;
  const from = all.reduce((least, sorted) => Math.min(least, value(quantile(sorted, 0))), Infinity);
  const to = all.reduce((most, sorted) => Math.max(most, value(shownEnd(sorted))), -Infinity);
  if (!Number.isFinite(from)) return {scale: 'linear', from: 0, to: 1, ticks: []};
  const margin = (to - from || Math.abs(to) || 1) * 0.02;
  if (from > 0 && to / from >= 8) {
    const low = from / 1.05;
    const high = to * 1.05;
    return {scale: 'log', from: low, to: high, ticks: logTicks(low, high)};
  }
  return {
    scale: 'linear',
    from: from - margin,
    to: to + margin,
    ticks: linearTicks(from - margin, to + margin),
  };
};

const shownEnd = (sorted: Float64Array): number => {
  const most = quantile(sorted, 0.99);
  return Math.min(quantile(sorted, 1), most + 0.3 * (most - quantile(sorted, 0)));
};

const linearTicks = (from: number, to: number): number[] => {
  const rough = (to - from) / 8;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 5, 10].find((each) => each * power >= rough) ?? 10) * power;
  const first = Math.ceil(from / step);
  return Array.from(
    {length: Math.max(0, Math.floor(to / step) - first + 1)},
    (_, index) => (first + index) * step,
  );
};

const logTicks = (from: number, to: number): number[] => {
  const decades = Math.log10(to / from);
  const factors = decades > 4 ? [1] : decades > 2 ? [1, 3] : [1, 2, 3, 5];
  const ticks: number[] = [];
  for (let power = Math.floor(Math.log10(from)); power <= Math.log10(to); power += 1)
    for (const factor of factors) ticks.push(factor * 10 ** power);
  return ticks.filter((tick) => tick >= from && tick <= to);
};

const place = ({scale, from, to}: Axis, value: number): number => {
  const share =
    scale === 'log'
      ? Math.log(Math.max(value, from) / from) / Math.log(to / from)
      : (value - from) / (to - from);
  return LEFT + Math.min(1, Math.max(0, share)) * (WIDTH - LEFT - RIGHT);
};

const panel = (
  series: Sorted,
  axis: Axis,
  {top, subtract, unit, colour}: {top: number; subtract: number; unit: number; colour: string},
): string[] => {
  const bottom = top + PANEL;
  const right = WIDTH - RIGHT;
  const x = (ticks: number): string => place(axis, (ticks - subtract) * unit).toFixed(1);
  const y = (share: number): string => (bottom - share * (PANEL - 28)).toFixed(1);
  const {sorted} = series;
  return [
    `<g role="group" aria-label="${escaped(describe(series, subtract, unit))}">`,
    `<text class="ink" x="${LEFT}" y="${top + 12}" font-weight="600">${escaped(nameOf(series))}</text>`,
    `<text class="faint" x="${right}" y="${top + 12}" text-anchor="end">${escaped(remark(series, axis, subtract, unit))}</text>`,
    ...[0, 0.25, 0.5, 0.75, 1].flatMap((share) => [
      `<line class="grid" x1="${LEFT}" x2="${right}" y1="${y(share)}" y2="${y(share)}"/>`,
      `<text class="faint" x="${right + 6}" y="${(Number(y(share)) + 4).toFixed(1)}">${share * 100} %</text>`,
    ]),
    `<path fill="${colour}" fill-opacity="0.75" d="${bars(sorted, axis, {subtract, unit, x, bottom})}"/>`,
    `<path class="curve" fill="none" stroke-width="1.5" d="${curve(sorted, axis, {subtract, unit, x, y})}"/>`,
    `<line class="rule" x1="${LEFT}" x2="${right}" y1="${bottom}" y2="${bottom}"/>`,
    ...axis.ticks.map((tick) => {
      const at = place(axis, tick).toFixed(1);
      return `<line class="rule" x1="${at}" x2="${at}" y1="${bottom}" y2="${bottom + 4}"/><text class="faint" x="${at}" y="${bottom + 17}" text-anchor="middle">${timeText(tick)}</text>`;
    }),
    `<line stroke="${colour}" stroke-width="1.5" stroke-dasharray="4 3" x1="${x(quantile(sorted, 0.5))}" x2="${x(quantile(sorted, 0.5))}" y1="${y(1)}" y2="${bottom}"/>`,
    '</g>',
  ];
};

interface Place {
  subtract: number;
  unit: number;
  x: (ticks: number) => string;
}

/** Bars of equal width on the panel's axis, the highest as high as the panel. */
const bars = (
  sorted: Float64Array,
  axis: Axis,
  {subtract, unit, x, bottom}: Place & {bottom: number},
): string => {
  const end = axis.to / unit + subtract;
  const shown = sorted.subarray(0, countBelow(sorted, end));
  if (shown.length === 0) return '';
  const {edges, counts} =
    axis.scale === 'linear' ? histogramOf(shown, RANGES) : factorRanges(shown, axis, {subtract, unit});
  // a longer range, such as the last one, is as much lower as its samples are spread wider
  const density = counts.map(
    (count, index) => count / Math.max(1e-9, Number(x(edges[index + 1] ?? 0)) - Number(x(edges[index] ?? 0))),
  );
  const most = density.reduce((largest, each) => Math.max(largest, each), 0);
  return density
    .map((each, index) => {
      if (each === 0) return '';
      const [left, right] = [x(edges[index] ?? 0), x(edges[index + 1] ?? 0)];
      if (left === right) return '';
      return `M${left} ${bottom}V${(bottom - Math.max(0.75, (each / most) * (PANEL - 28))).toFixed(1)}H${right}V${bottom}Z`;
    })
    .join('');
};

const factorRanges = (
  sorted: Float64Array,
  {from, to}: Axis,
  {subtract, unit}: {subtract: number; unit: number},
): {edges: number[]; counts: number[]} => {
  const edges = Array.from(
    {length: RANGES + 1},
    (_, index) => (from * (to / from) ** (index / RANGES)) / unit + subtract,
  );
  const below = edges.map((edge) => countBelow(sorted, edge));
  return {edges, counts: below.slice(1).map((count, index) => count - (below[index] ?? 0))};
};

/** Steps at the quantiles: as exact as the drawing's own resolution. */
const curve = (
  sorted: Float64Array,
  axis: Axis,
  {subtract, unit, x, y}: Place & {y: (share: number) => string},
): string => {
  const points: string[] = [];
  let last = '';
  const steps = Math.min(sorted.length, 400);
  for (let step = 0; step <= steps; step += 1) {
    const share = step / steps;
    const ticks = quantile(sorted, share);
    if ((ticks - subtract) * unit > axis.to) {
      if (points.length > 0) points.push(`H${WIDTH - RIGHT}`);
      break;
    }
    const at = x(ticks);
    // a step up where many samples are alike
    if (at === last) points.pop();
    else if (last !== '') points.push(`L${at} ${y(Math.max(0, share - 1 / steps))}`);
    points.push(`${points.length === 0 ? 'M' : 'L'}${at} ${y(share)}`);
    last = at;
  }
  return points.join('');
};

const title = (measured: readonly Sorted[]): string =>
  measured.length === 0
    ? 'No samples were taken'
    : `Time that ${[...new Set(measured.map(({operation}) => operation.toUpperCase()))].join(', ')} takes in a guest`;

const PHASES: Record<Series['phase'], string> = {
  alone: '',
  coherent: ', before the groups were added',
  attached: ', with the groups added',
  deleted: ', after the groups were deleted',
};

const nameOf = ({operation, phase}: Series): string => `${operation.toUpperCase()}${PHASES[phase]}`;

const describe = (series: Sorted, subtract: number, unit: number): string => {
  const at = (share: number): string => timeText((quantile(series.sorted, share) - subtract) * unit);
  return `${nameOf(series)}: ${series.sorted.length} samples, median ${at(0.5)}, half of them between ${at(0.25)} and ${at(0.75)}, 99 % not above ${at(0.99)}, longest ${at(1)}.`;
};

/** What stands at the panel's right: the median, and what the axis leaves out. */
const remark = ({sorted}: Sorted, axis: Axis, subtract: number, unit: number): string => {
  const value = (share: number): number => (quantile(sorted, share) - subtract) * unit;
  const beyond = sorted.length - countBelow(sorted, axis.to / unit + subtract);
  const rest = beyond === 0 ? '' : `, ${beyond} more up to ${timeText(value(1))}`;
  return `${sorted.length} samples, median ${timeText(value(0.5))}${rest}`;
};

/** Nanoseconds in a unit that suits them. */
const timeText = (nanoseconds: number): string => {
  const size = Math.abs(nanoseconds);
  const [divisor, unit] =
    size >= 1e9 ? [1e9, 's'] : size >= 1e6 ? [1e6, 'ms'] : size >= 1e4 ? [1e3, 'µs'] : [1, 'ns'];
  return `${Number((nanoseconds / divisor).toPrecision(4))} ${unit}`;
};

/** Text for XML, without the characters that XML 1.0 does not allow at all. */
const escaped = (text: string): string =>
  text
    .replace(/[^\t\u0020-\ud7ff\ue000-\ufffd]/g, '\ufffd')
    .replace(/[&<>"]/g, (character) => ENTITIES[character] ?? character);

const ENTITIES: Record<string, string> = {'&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;'};
