import assert from 'node:assert/strict';
import fc from 'fast-check';
import {coarser, histogramOf} from '../../../src/probe/statistics/bins.js';
import {QUANTILES, type Figures} from '../../../src/probe/statistics/figures.js';
import {estimateMedian} from '../../../src/probe/statistics/median.js';
import {countBelow, quantile} from '../../../src/probe/statistics/quantile.js';
import {summarise} from '../../../src/probe/statistics/summary.js';
import {Source} from '../series.js';

const CLOCK = {tscKhz: 2_000_000, source: 'test'};
const samples = fc
  .array(fc.oneof(fc.integer({min: 0, max: 50}), fc.integer({min: 1, max: 1_000_000_000})), {
    minLength: 1,
    maxLength: 400,
  })
  .map((values) => Float64Array.from(values));
const quantilesOf = (figures: Figures): number[] =>
  (Object.keys(QUANTILES) as (keyof typeof QUANTILES)[]).map((name) => figures[name]);
const total = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0);

describe('a summary of samples', () => {
  it('has quantiles that rise, from the least to the greatest sample, and an interval around each centre', () => {
    fc.assert(
      fc.property(samples, (ticks) => {
        const {cycles, samples: count} = summarise(ticks, CLOCK);
        assert.ok(cycles !== null);
        assert.equal(count, ticks.length);
        assert.deepEqual([cycles.min, cycles.max], [Math.min(...ticks), Math.max(...ticks)]);
        const values = quantilesOf(cycles);
        assert.deepEqual(
          values,
          values.toSorted((a, b) => a - b),
        );
        assert.ok(cycles.min <= cycles.mean + 0.01 && cycles.mean <= cycles.max + 0.01);
        const {medianInterval, meanInterval} = cycles;
        assert.equal(medianInterval === null, ticks.length === 1);
        if (meanInterval !== null)
          assert.ok(meanInterval.low <= cycles.mean && cycles.mean <= meanInterval.high);
      }),
    );
  });

  it('does not change the samples, and is the same in another order of equal sections', () => {
    fc.assert(
      fc.property(samples, (ticks) => {
        const before = ticks.slice();
        const {cycles} = summarise(ticks, CLOCK);
        assert.deepEqual(ticks, before);
        const reversed = summarise(ticks.slice().reverse(), CLOCK).cycles;
        assert.deepEqual(quantilesOf(reversed as Figures), quantilesOf(cycles as Figures));
      }),
    );
  });

  it('says the same in cycles and in nanoseconds', () => {
    fc.assert(
      fc.property(samples, fc.integer({min: 10_000, max: 6_000_000}), (ticks, tscKhz) => {
        const {cycles, nanoseconds} = summarise(ticks, {tscKhz, source: ''});
        assert.ok(cycles !== null && nanoseconds !== null);
        for (const name of ['min', 'median', 'max', 'mean'] as const) {
          const expected = (cycles[name] * 1e6) / tscKhz;
          assert.ok(Math.abs(nanoseconds[name] - expected) < 0.01 + 1e4 / tscKhz, name);
        }
      }),
    );
  });

  it('takes the same off every figure', () => {
    const ticks = new Source(2).ticks(2000);
    const whole = summarise(ticks, CLOCK);
    const less = summarise(ticks, CLOCK, {subtract: 40});
    assert.equal(less.subtracted, 40);
    const shifted = (values: readonly number[]): number[] =>
      values.map((value) => Math.round((value - 40) * 100) / 100);
    assert.deepEqual(quantilesOf(less.cycles as Figures), shifted(quantilesOf(whole.cycles as Figures)));
    assert.deepEqual(less.medianReplicates, shifted(whole.medianReplicates));
    assert.deepEqual(less.histogram, whole.histogram);
  });

  it('is empty without samples', () => {
    const {
      cycles,
      nanoseconds,
      histogram,
      medianReplicates,
      samples: count,
    } = summarise(new Float64Array(), CLOCK);
    assert.deepEqual([cycles, nanoseconds, histogram, medianReplicates, count], [null, null, null, [], 0]);
  });

  it('has replicates that are medians of whole sections', () => {
    // of ten sections of one sample each, every resample consists of these samples
    const ticks = Float64Array.of(1, 2, 4, 8, 16, 32, 64, 128, 256, 512);
    const {replicates, median} = estimateMedian(ticks, ticks);
    assert.equal(median, 24);
    assert.equal(replicates.length, 200);
    assert.deepEqual(
      replicates,
      replicates.toSorted((a, b) => a - b),
    );
    // an exact enumeration has 24 as the centre of its middle half, too
    assert.ok((replicates[50] ?? 0) <= 24 && 24 <= (replicates[149] ?? 0));
  });
});

describe('the histogram of samples', () => {
  it('counts every sample once, in ranges that rise', () => {
    fc.assert(
      fc.property(samples, fc.integer({min: 1, max: 70}), (ticks, wanted) => {
        const sorted = ticks.slice().sort();
        const histogram = histogramOf(sorted, wanted);
        const {edges, counts} = histogram;
        assert.equal(total(counts), ticks.length);
        assert.equal(edges.length, counts.length + 1);
        assert.deepEqual([edges[0], edges.at(-1)], [sorted[0], sorted.at(-1)]);
        assert.ok(counts.length <= wanted + 2, `${counts.length} of ${wanted}`);
        assert.deepEqual(
          edges,
          edges.toSorted((a, b) => a - b),
        );
        for (const [index, count] of counts.entries()) {
          const inside = ticks.filter(
            (value) =>
              value >= (edges[index] ?? 0) &&
              (index === counts.length - 1 || value < (edges[index + 1] ?? 0)),
          );
          assert.equal(inside.length, count);
        }
        const joined = coarser(histogram, 16);
        assert.equal(total(joined.counts), ticks.length);
        assert.ok(joined.counts.length <= 17);
        assert.deepEqual([joined.edges[0], joined.edges.at(-1)], [edges[0], edges.at(-1)]);
      }),
    );
  });

  it('grows by a factor only where the spread needs it', () => {
    const narrow = new Source(3).ticks(1000);
    assert.equal(histogramOf(narrow.slice().sort(), 60).scale, 'linear');
    const both = Float64Array.from([...narrow, ...narrow.map((value) => value * 500)]);
    assert.equal(histogramOf(both.sort(), 60).scale, 'log');
  });

  it('is not flattened by a few samples that are far above the others', () => {
    const ticks = new Source(3).ticks(1000);
    ticks[500] = 90_000_000;
    const {counts, edges} = histogramOf(ticks.slice().sort(), 60);
    assert.ok(counts.filter((count) => count > 20).length > 8);
    assert.equal(edges.at(-1), 90_000_000);
  });

  it('has no gaps where the counter counts in steps', () => {
    const {counts} = histogramOf(new Source(4).ticks(20_000).sort(), 60);
    const inner = counts.slice(0, 10);
    assert.ok(Math.min(...inner) * 4 > Math.max(...inner), inner.join(' '));
  });
});

describe('quantiles', () => {
  it('count what lies below', () => {
    fc.assert(
      fc.property(samples, fc.integer({min: 0, max: 1000}), (ticks, value) => {
        const sorted = ticks.slice().sort();
        assert.equal(countBelow(sorted, value), ticks.filter((each) => each < value).length);
      }),
    );
  });

  it('lie between the two nearest samples', () => {
    const sorted = [10, 20, 40];
    assert.deepEqual(
      [0, 0.25, 0.5, 0.75, 1].map((share) => quantile(sorted, share)),
      [10, 15, 20, 30, 40],
    );
    assert.throws(() => quantile([], 0.5), RangeError);
  });
});
