import assert from 'node:assert/strict';
import {outliersOf, type OutlierContext} from '../../../src/probe/statistics/outliers.js';
import {Source} from '../series.js';

const KHZ = 2_000_000;

const outliers = (ticks: Float64Array, context: Partial<OutlierContext> = {}) =>
  outliersOf(ticks, ticks.slice().sort(), {tscKhz: KHZ, seconds: null, ...context});

/** Samples with a pause of 500 ticks between them, and how long they all took. An interrupt adds 20 000 ticks. */
const interrupted = (count: number, hertz: number | 'at random'): {ticks: Float64Array; seconds: number} => {
  const source = new Source(11);
  const period = hertz === 'at random' ? null : (KHZ * 1000) / hertz;
  let now = 0;
  let next = period ?? 0;
  const ticks = source.ticks(count).map((plain) => {
    const begin = now;
    now += plain;
    let value = plain;
    if (period === null ? source.fraction() < 1 / 2000 : next < now) {
      if (period === null || next >= begin) value += 20_000 + Math.round(300 * source.normal());
      now = begin + value;
      if (period !== null) while (next < now) next += period;
    }
    now += 500;
    return value;
  });
  return {ticks, seconds: now / KHZ / 1000};
};

describe('outliers', () => {
  it('are none where there are none', () => {
    assert.deepEqual(outliers(new Source(1).ticks(5000)), []);
    assert.deepEqual(outliers(Float64Array.of(5)), []);
    assert.deepEqual(outliers(new Float64Array(100).fill(7)), []);
  });

  it('at the beginning are told from those in between', () => {
    const ticks = new Source(1).ticks(5000);
    ticks.set([90_000, 40_000, 20_000]);
    ticks[2500] = 50_000;
    const [first, second, ...others] = outliers(ticks);
    assert.deepEqual([first?.kind, first?.samples, first?.max], ['first-touch', 3, 90_000]);
    assert.match(first?.explanation ?? '', /for the first time/);
    assert.deepEqual([second?.kind, second?.samples, second?.max], ['spikes', 1, 50_000]);
    assert.match(second?.explanation ?? '', /no fixed period/);
    assert.deepEqual(others, []);
  });

  for (const hertz of [100, 250, 1000]) {
    it(`that come ${hertz} times a second are interrupts of a timer`, () => {
      const {ticks, seconds} = interrupted(200_000, hertz);
      const [found] = outliers(ticks, {seconds});
      assert.equal(found?.kind, 'interrupts');
      assert.ok(Math.abs((found.hertz ?? 0) / hertz - 1) < 0.02, String(found.hertz));
      assert.match(found.explanation, new RegExp(`timer interrupt of a kernel with ${hertz} Hz`));
    });
  }

  it('have a period, but no frequency, when the time between samples is not known', () => {
    const {ticks, seconds} = interrupted(200_000, 250);
    // a run that paused most of the time says as little as none that tells
    for (const known of [null, 10 * seconds]) {
      const [found] = outliers(ticks, {seconds: known});
      assert.deepEqual([found?.kind, found?.hertz], ['interrupts', null]);
    }
  });

  it('that come at random have no period', () => {
    const {ticks, seconds} = interrupted(100_000, 'at random');
    const [found] = outliers(ticks, {seconds});
    assert.equal(found?.kind, 'spikes');
    assert.equal(found.hertz, null);
  });

  it('are not found where a tenth of the run is like that from the beginning: that is another level', () => {
    const ticks = new Source(1).ticks(1000);
    ticks.fill(90_000, 0, 150);
    assert.deepEqual(outliers(ticks), []);
  });
});
