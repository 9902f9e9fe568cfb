import assert from 'node:assert/strict';
import {axisOf, evenTicks, placeOn} from '../../../src/probe/drawing/axis.js';
import {
  barsOf,
  curveOf,
  distributionOf,
  type DrawnDistribution,
} from '../../../src/probe/drawing/distribution.js';
import {drawingOfComparison, drawingOfExits, drawingOfRun} from '../../../src/probe/drawing/drawings.js';
import {svgOf} from '../../../src/probe/drawing/svg.js';
import type {AgainstDocument} from '../../../src/probe/against/measure-against.js';
import {seriesDocument} from '../../../src/probe/series-document.js';
import {countBelow} from '../../../src/probe/statistics/quantile.js';
import {CLOCK, MACHINE, run, series} from '../documents.js';

const drawn = (ticks: Float64Array, subtract = 0): DrawnDistribution => {
  const document = seriesDocument({operation: 'wbinvd', phase: 'alone', ticks}, CLOCK, {subtract});
  const distribution = distributionOf(document, CLOCK, {name: 'WBINVD', colour: 'blue'});
  assert.ok(distribution);
  return distribution;
};

/** Numbers of a drawing, which are all that there is of its form. */
const attributes = (svg: string, pattern: RegExp): number[] =>
  [...svg.matchAll(pattern)].map(([, number]) => Number(number));

describe('a drawing of samples', () => {
  const {ticks} = series('wbinvd', 'alone', 0, 5000);
  ticks[9] = 4_000_000;
  const sorted = ticks.slice().sort();

  it('has bars of the scale that stands beside them', () => {
    const svg = svgOf(drawingOfRun(run([{operation: 'wbinvd', phase: 'alone', ticks}])));
    const {bars} = barsOf(drawn(ticks));
    const highest = Math.max(...bars.map(({share}) => share)) * 100;
    // a line of the grid for each number at the left, and the number
    const heights = attributes(svg, /class="grid" [^>]*y1="([\d.]+)"/g);
    const percents = attributes(svg, /text-anchor="end">([\d.]+) %</g);
    assert.equal(heights.length, percents.length);
    const [bottom = NaN, next = NaN] = heights;
    const perPercent = (bottom - next) / ((percents[1] ?? NaN) - (percents[0] ?? NaN));
    const [tallest = NaN] =
      attributes(svg, /<path fill="#[^>]* d="([^"]*)"/g).length === 0
        ? []
        : [
            Math.min(
              ...[
                ...(/<path fill="#[^>]* d="([^"]*)"/.exec(svg)?.[1] ?? '').matchAll(
                  /M[\d.]+ [\d.]+V([\d.]+)/g,
                ),
              ].map(([, y]) => Number(y)),
            ),
          ];
    assert.ok(
      Math.abs(bottom - tallest - highest * perPercent) < 0.2,
      `${bottom - tallest} for ${highest} %`,
    );
  });

  it('has a curve through shares that are true at each point', () => {
    const {tscKhz} = CLOCK;
    for (const {at, share} of curveOf(drawn(ticks)).slice(0, -2)) {
      const below = countBelow(sorted, (at * tscKhz) / 1e6) / sorted.length;
      assert.ok(Math.abs(below - share) < 1e-9, `${share} at ${at}, and ${below} are below`);
    }
  });

  it('draws no bar for the range that has all the rest, and says what it leaves out', () => {
    const {bars, rest, width} = barsOf(drawn(ticks));
    assert.ok(rest !== null && width !== null);
    assert.ok(bars.every(({from, to}) => Math.abs(to - from - width) < 1e-6));
    const shown = bars.reduce((sum, {share}) => sum + share, rest.share);
    assert.ok(Math.abs(shown - 1) < 1e-9);
    const svg = svgOf(drawingOfRun(run([{operation: 'wbinvd', phase: 'alone', ticks}])));
    assert.match(svg, /5 000 samples, median [\d ]+ ns; no bar for [\d.]+ % from [\d ]+ ns to 1 538\.5 µs/);
  });

  it('names its axes with their units and scales, and what bars, curve and dashes are', () => {
    const svg = svgOf(
      drawingOfRun(run([series('wbinvd', 'coherent'), series('wbinvd', 'attached', 2_000_000)])),
    );
    for (const text of [
      'time in the guest (logarithmic scale)',
      'samples in 10 ns',
      'samples not longer',
      'samples in a range (left)',
      'samples not longer (right)',
      'median',
      'WBINVD before the groups',
      'WBINVD with the groups',
    ])
      assert.ok(svg.includes(`>${text}</text>`), text);
    assert.match(svgOf(drawingOfRun(run([series('cpuid')]))), />time in the guest, in ns \(linear scale\)</);
    assert.match(svg, /<title id="title">Time that WBINVD takes in a guest<\/title>/);
    assert.match(
      svgOf(drawingOfRun(run([series('wbinvd'), series('cpuid')]))),
      />Time that WBINVD and CPUID take in a guest</,
    );
    assert.match(svg, /<desc id="description">WBINVD before the groups: 1 000 samples, median /);
    assert.match(svg, /prefers-color-scheme:dark/);
  });

  it('is of two runs, A above B, as of one', () => {
    const [before, after] = [
      seriesDocument(series('wbinvd'), CLOCK),
      seriesDocument(series('wbinvd', 'alone', 500), CLOCK),
    ];
    const svg = svgOf(
      drawingOfComparison({
        ...{
          schemaVersion: 1,
          command: 'probe-compare',
          machineDifferences: [],
          onlyInA: [],
          onlyInB: [],
          warnings: [],
        },
        a: {path: 'a <b> & "c" \u001b', clock: CLOCK, machine: MACHINE},
        b: {path: 'b.json', clock: CLOCK, machine: MACHINE},
        pairs: [{operation: 'wbinvd', a: before, b: after, difference: null}],
      }),
    );
    assert.equal(svg.match(/class="curve" fill/g)?.length, 2);
    assert.match(svg, />A: a &lt;b&gt; &amp; &quot;c&quot; \ufffd \(AMD EPYC 9254, /);
    assert.ok(svg.indexOf('>A: WBINVD<') < svg.indexOf('>B: WBINVD<'));
  });

  it('is of the exits of a running VM, a panel for each vCPU that has some', () => {
    const timed = seriesDocument(series('wbinvd'), {tscKhz: 1e6, source: ''});
    const document: AgainstDocument = {
      ...{
        schemaVersion: 1,
        command: 'probe-against',
        seconds: 1,
        ended: 'duration',
        lostEvents: 0,
        warnings: [],
      },
      vm: {pid: 1, command: 'qemu', fd: 3, socket: null, sharesProcess: false},
      wbinvd: {exits: 1000, perSecond: 1000, counted: 'buffer', uncounted: 0},
      vcpus: [
        {vcpu: 0, exits: 1000, timed: 1000, nanoseconds: timed.nanoseconds, histogram: timed.histogram},
        {vcpu: 1, exits: 0, timed: 0, nanoseconds: null, histogram: null},
      ],
      machine: MACHINE,
    };
    const svg = svgOf(drawingOfExits(document));
    assert.equal(svg.match(/>vCPU \d+</g)?.length, 1);
    assert.match(svg, /from the exit to the next entry, in ns/);
  });

  it('is there for odd runs, too', () => {
    for (const odd of [[], [5], [5, 5, 5], [0, 0, 1], [1, 1e12], [-40, -3, 10], [0.5, 0.25]]) {
      for (const subtract of [0, 5]) {
        const document = seriesDocument(
          {operation: 'empty', phase: 'alone', ticks: Float64Array.from(odd)},
          CLOCK,
          {subtract},
        );
        const svg = svgOf(drawingOfRun({series: [document], clock: CLOCK, machine: MACHINE}));
        assert.doesNotMatch(svg, /NaN|Infinity|undefined/, JSON.stringify(odd));
      }
    }
  });
});

describe('an axis', () => {
  it('has round numbers, not more than were asked for, with the digits that tell them apart', () => {
    assert.deepEqual(evenTicks(3680, 5230, 8), {
      values: [3800, 4000, 4200, 4400, 4600, 4800, 5000, 5200],
      digits: 0,
    });
    assert.deepEqual(evenTicks(0, 0.011, 5).digits, 3);
    for (const to of [1, 3.3, 7, 12, 99, 1234]) assert.ok(evenTicks(0, to, 5).values.length <= 6, String(to));
  });

  it('places each of its numbers where a time of that length is', () => {
    const axis = axisOf([drawn(series('wbinvd').ticks)], 'time');
    for (const {at, text} of axis.ticks) {
      assert.equal(Number(text.replaceAll(' ', '')), Math.round(at));
      assert.ok(placeOn(axis, at) >= 0 && placeOn(axis, at) <= 1);
    }
  });
});
