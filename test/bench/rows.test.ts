import assert from 'node:assert/strict';
import {readdirSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import {PROJECT} from '../support/run.js';
import type {Line} from './benchmark.js';
import {BENCHMARKS} from './benchmarks.js';
import {held, passes, rowsOf, type Row} from './rows.js';
import {tableOf} from './table.js';

const RATIO: Line = {what: 'own', against: 'other', unit: 'x', most: 2};
const TIME: Line = {what: 'time', against: 'nothing', unit: 'ms', most: 20};

const ended = (output: string, status = '0'): {status: string; output: string} => ({status, output});
const figures = (...values: number[]): string =>
  `something else\n${JSON.stringify({figures: values.map((value) => ({value, detail: 'made of'}))})}\n`;
const rows = (
  ending: Parameters<typeof rowsOf>[0]['ending'],
  place: 'host' | 'lab' = 'host',
  lines = [RATIO, TIME],
): Row[] => rowsOf({lines, place, where: place, ending});

describe('rows of a benchmark', () => {
  it('hold up to what they are to reach', () => {
    assert.deepEqual(
      rows(ended(figures(2, 20.1))).map((row) => [row.where, held(row)]),
      [
        ['host', true],
        ['host', false],
      ],
    );
  });

  for (const [how, ending, reason] of [
    ['that cannot run here', {missing: 'there is no cc'}, 'there is no cc'],
    [
      'that gave up',
      ended('{"missing":"The VM was not created.\\n  There is no memory."}\n'),
      /^The VM.+memory\.$/,
    ],
    [
      'that crashed',
      ended('Error: bang\n    at one.mjs:1:1', '1'),
      /^it ended with 1 and no figures: Error: bang/,
    ],
    ['that wrote nothing', ended(''), /^it ended with 0 and no figures/],
    ['with too few figures', ended(figures(1)), 'it measured 1 figures for 2 lines'],
    ['that was ended after its figures', ended(figures(1, 1), 'SIGKILL'), /SIGKILL/],
  ] as const)
    it(`of one ${how} are all printed with the reason on one line, and do not pass even in the short form`, () => {
      const without = rows(ending);
      assert.equal(without.length, 2);
      for (const row of without) {
        assert.ok('missing' in row && !row.missing.includes('\n'));
        if (typeof reason === 'string') assert.equal(row.missing, reason);
        else assert.match(row.missing, reason);
        assert.equal(held(row), false);
        assert.ok(tableOf([row]).includes(`NOT RUN  ${row.what}`));
        assert.ok(tableOf([row]).endsWith(row.missing));
      }
      assert.equal(passes(without, true), false);
    });

  it('that miss are only told in the short form', () => {
    const missed = rows(ended(figures(3, 1)));
    assert.match(tableOf(missed), /^MISSED {2}own/m);
    assert.deepEqual([passes(missed, true), passes(missed, false)], [true, false]);
    assert.equal(passes([], true), false);
  });

  it('of the lab are judged by ratios, not by times of an emulated processor', () => {
    const [ratio, time] = rows(ended(figures(3, 500)), 'lab');
    assert.deepEqual([ratio?.most, time?.most], [2, null]);
  });
});

describe('the table of benchmarks', () => {
  it('names each file that has one', () => {
    const folder = join(PROJECT, 'test/bench');
    const files = readdirSync(folder)
      .filter(
        (name) =>
          !name.endsWith('.test.ts') &&
          readFileSync(join(folder, name), 'utf8').includes('export const benchmark:'),
      )
      .map((name) => name.replace('.ts', ''));
    assert.deepEqual(Object.keys(BENCHMARKS).sort(), files.sort());
  });

  it('knows the lines of each before anything is measured', async () => {
    for (const load of Object.values(BENCHMARKS)) {
      const {benchmark} = await load();
      for (const size of ['small', 'medium', 'large'] as const) {
        const names = benchmark.lines(size).map(({what}) => what);
        assert.ok(names.length > 0);
        assert.equal(new Set(names).size, names.length);
      }
    }
  });
});
