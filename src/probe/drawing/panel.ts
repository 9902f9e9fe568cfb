import {grouped, timeText} from '../../numbers.js';
import {evenTicks, placeOn, type Axis} from './axis.js';
import {barsOf, COLOURS, curveOf, type Bar, type DrawnDistribution} from './distribution.js';
import {escaped, FRAME} from './page.js';

/** Distance from the name of a panel to what is drawn. */
const HEAD = 28;
const PLOT = 170;
/** Numbers and title of the axis of time. */
const FOOT = 48;

export const PANEL_HEIGHT = HEAD + PLOT + FOOT;

const LEFT = FRAME.left;
const RIGHT = FRAME.width - FRAME.right;

/**
 * One distribution: bars by the scale at the left, how many of the samples each range has, and a curve by the scale at the
 * right, how many are not longer.
 */
export const panelOf = (distribution: DrawnDistribution, axis: Axis, top: number): string[] => {
  const {name, colour, figures} = distribution;
  const {bars, width} = barsOf(distribution);
  const [ceiling, floor] = [top + HEAD, top + HEAD + PLOT];
  const x = (at: number): string => (LEFT + placeOn(axis, at) * (RIGHT - LEFT)).toFixed(1);
  const highest = Math.max(...bars.filter(({from}) => from < axis.to).map(({share}) => share), 0) || 1;
  const {values, digits} = evenTicks(0, highest * 110, 5);
  const most = highest * 1.1;
  const yOfBar = (share: number): number => floor - (share / most) * PLOT;
  const yOfCurve = (share: number): number => floor - share * PLOT;
  const range = width === null ? 'a range' : rangeText(width);
  return [
    `<g role="group" aria-label="${escaped(describe(distribution))}">`,
    `<rect x="${LEFT}" y="${top + 3}" width="10" height="10" fill="${COLOURS[colour]}"/>`,
    `<text class="ink" x="${LEFT + 16}" y="${top + 12}" font-weight="600">${escaped(name)}</text>`,
    `<text class="faint" x="${RIGHT}" y="${top + 12}" text-anchor="end">${escaped(remark(distribution))}</text>`,
    ...values.flatMap((percent) => {
      const y = yOfBar(percent / 100);
      return [
        `<line class="grid" x1="${LEFT}" x2="${RIGHT}" y1="${y.toFixed(1)}" y2="${y.toFixed(1)}"/>`,
        label(LEFT - 6, y + 4, `${grouped(percent, digits)} %`, 'end'),
      ];
    }),
    ...[0, 25, 50, 75, 100].flatMap((percent) => {
      const y = yOfCurve(percent / 100);
      return [
        `<line class="rule" x1="${RIGHT}" x2="${RIGHT + 4}" y1="${y.toFixed(1)}" y2="${y.toFixed(1)}"/>`,
        label(RIGHT + 8, y + 4, `${percent} %`, 'start'),
      ];
    }),
    turned(16, (ceiling + floor) / 2, `samples in ${range}`),
    turned(FRAME.width - 10, (ceiling + floor) / 2, 'samples not longer'),
    `<path fill="${COLOURS[colour]}" fill-opacity="0.75" d="${barPath(bars, axis, {x, yOfBar, floor})}"/>`,
    `<path class="curve" fill="none" stroke-width="1.5" d="${curvePath(distribution, axis, {x, yOfCurve})}"/>`,
    `<path class="rule" fill="none" d="M${LEFT} ${ceiling}V${floor}H${RIGHT}V${ceiling}"/>`,
    ...axis.ticks.map(({at, text}) => {
      const place = x(at);
      return `<line class="rule" x1="${place}" x2="${place}" y1="${floor}" y2="${floor + 4}"/>${label(place, floor + 17, text, 'middle')}`;
    }),
    label((LEFT + RIGHT) / 2, floor + 35, axis.title, 'middle'),
    `<line class="median" stroke-width="1.5" stroke-dasharray="4 3" x1="${x(figures.median)}" x2="${x(figures.median)}" y1="${ceiling}" y2="${floor}"/>`,
    '</g>',
  ];
};

const label = (x: number | string, y: number, text: string, anchor: string): string =>
  `<text class="faint" x="${x}" y="${y.toFixed(1)}" text-anchor="${anchor}">${escaped(text)}</text>`;

/** A title along an axis that goes up. */
const turned = (x: number, y: number, text: string): string =>
  `<text class="faint" text-anchor="middle" transform="translate(${x} ${y}) rotate(-90)">${escaped(text)}</text>`;

interface Scales {
  x: (at: number) => string;
}

const barPath = (
  bars: readonly Bar[],
  axis: Axis,
  {x, yOfBar, floor}: Scales & {yOfBar: (share: number) => number; floor: number},
): string =>
  bars
    .filter(({share, from}) => share > 0 && from < axis.to)
    .map(({from, to, share}) => {
      const [left, right] = [x(from), x(to)];
      // a range that has samples has a bar, however few, and however narrow it is
      const y = Math.min(floor - 0.75, yOfBar(share)).toFixed(1);
      const end = left === right ? (Number(left) + 0.75).toFixed(1) : right;
      return `M${left} ${floor}V${y}H${end}V${floor}Z`;
    })
    .join('');

const curvePath = (
  distribution: DrawnDistribution,
  axis: Axis,
  {x, yOfCurve}: Scales & {yOfCurve: (share: number) => number},
): string => {
  const points = curveOf(distribution);
  const shown = points.filter(({at}) => at <= axis.to);
  const next = points[shown.length];
  const last = shown.at(-1);
  const end =
    next === undefined || last === undefined
      ? {at: axis.to, share: last?.share ?? 0}
      : {at: axis.to, share: between(last, next, axis.to)};
  return [...shown, end]
    .map(({at, share}, index) => `${index === 0 ? 'M' : 'L'}${x(at)} ${yOfCurve(share).toFixed(1)}`)
    .join('');
};

const between = (a: {at: number; share: number}, b: {at: number; share: number}, at: number): number =>
  a.share + ((b.share - a.share) * (at - a.at)) / (b.at - a.at);

/** The length of a range with no more digits than it has. */
const rangeText = (nanoseconds: number): string => {
  if (nanoseconds >= 10_000) return timeText(nanoseconds);
  const rounded = Number(nanoseconds.toPrecision(3));
  return `${rounded < 1000 ? rounded : grouped(rounded)} ns`;
};

/** A distribution in words, for those who do not see the drawing. */
export const describe = ({name, samples, figures}: DrawnDistribution): string =>
  `${name}: ${grouped(samples)} samples, median ${timeText(figures.median)}, half of them between ${timeText(figures.p25)} and ${timeText(figures.p75)}, 99 % not above ${timeText(figures.p99)}, longest ${timeText(figures.max)}.`;

const shareText = (share: number): string => `${Number((share * 100).toPrecision(2))} %`;

/** What stands at the panel's right: the median, and what has no bar. */
const remark = (distribution: DrawnDistribution): string => {
  const {samples, figures} = distribution;
  const {rest} = barsOf(distribution);
  const beyond =
    rest === null
      ? `, longest ${timeText(figures.max)}`
      : `; no bar for ${shareText(rest.share)} from ${timeText(rest.from)} to ${timeText(figures.max)}`;
  return `${grouped(samples)} ${samples === 1 ? 'sample' : 'samples'}, median ${timeText(figures.median)}${beyond}`;
};
