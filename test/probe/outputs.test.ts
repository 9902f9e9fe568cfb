import assert from 'node:assert/strict';
import {Chalk} from 'chalk';
import {compareLines} from '../../src/cli/answers/compare-text.js';
import {histogramLines} from '../../src/cli/output/histogram.js';
import {differenceLine, headlineOf, probeLines} from '../../src/cli/answers/probe-text.js';
import type {CompareDocument} from '../../src/probe/compare.js';
import {csvChunks} from '../../src/probe/csv.js';
import {seriesDifference, seriesDocument} from '../../src/probe/series-document.js';
import {drawingOfRun} from '../../src/probe/drawing/drawings.js';
import {svgOf} from '../../src/probe/drawing/svg.js';
import {histogramOf} from '../../src/probe/statistics/bins.js';
import {STEERING} from '../support/steering.js';
import {CLOCK, MACHINE, run, series} from './documents.js';
import {Source} from './series.js';

const plain = new Chalk({level: 0});

describe('the histogram in a terminal', () => {
  const ticks = new Source(6).ticks(5000);
  ticks[7] = 900_000;
  const histogram = histogramOf(ticks.slice().sort(), 60);

  it('fits every width, and shows every sample', () => {
    for (const width of [40, 60, 80, 200]) {
      const lines = histogramLines('WBINVD', histogram, {factor: 1, paint: plain, width});
      for (const line of lines) assert.ok(line.length <= width, `${line.length} of ${width}`);
      const counts = lines.map((line) => /(\d[\d ]*) {2,}[<\d.]+ %$/.exec(line)?.[1]?.replaceAll(' ', ''));
      assert.equal(
        counts.reduce((sum, count) => sum + Number(count ?? 0), 0),
        5000,
      );
    }
  });

  it('has the longest bar for the most samples, and a bar for few', () => {
    const lines = histogramLines(
      'WBINVD',
      {scale: 'linear', edges: [0, 10, 20, 30, 40], counts: [1, 1000, 0, 500]},
      {factor: 1, paint: plain, width: 80},
    );
    const bars = lines.map((line) => /[▏▎▍▌▋▊▉█]+/.exec(line)?.[0] ?? '');
    assert.equal(bars[2], '▏');
    assert.equal(bars[5]?.length, Math.ceil((bars[3] ?? '').length / 2));
    assert.match(lines[4] ?? '', /^ *⋮$/, 'a gap is one line');
    assert.match(lines.at(-1) ?? '', /40 {3}longest$/);
  });

  it('says what its columns are, how long its ranges are and by which scale, and which range is longer', () => {
    const tail = {scale: 'linear', edges: [0, 10, 20, 500], counts: [5, 3, 2]} as const;
    const [name, columns, ...ranges] = histogramLines(
      'WBINVD',
      {...tail, edges: [...tail.edges], counts: [...tail.counts]},
      {factor: 1, paint: plain, width: 80},
    );
    assert.equal(name, 'WBINVD, samples in ranges of 10.0 ns (linear; + has the rest)');
    assert.match(columns ?? '', /^ *FROM ns +SAMPLES +SHARE$/);
    assert.deepEqual(
      ranges.map((line) => line.trim().split(' ')[0]),
      ['0', '10', '20+', '500'],
    );
    assert.match(
      histogramLines(
        'x',
        {scale: 'log', edges: [1, 10, 100], counts: [1, 1]},
        {factor: 1, paint: plain, width: 80},
      )[0] ?? '',
      /logarithmic scale/,
    );
  });

  it('is plain text where there is no terminal', () => {
    const lines = histogramLines('WBINVD', histogram, {factor: 1, paint: plain, width: null});
    for (const line of lines) assert.match(line, /^[\u0020-\u007e]*$/);
  });

  it('has edges that are told apart, also when they are close', () => {
    const lines = histogramLines(
      'WBINVD',
      {scale: 'linear', edges: [1, 1.04, 1.08, 1.12], counts: [1, 1, 1]},
      {factor: 1, paint: plain, width: 80},
    );
    assert.deepEqual(
      lines.slice(2).map((line) => line.trim().split(' ')[0]),
      ['1.00', '1.04', '1.08', '1.12'],
    );
  });
});

describe('the answer of kvfio probe as text', () => {
  const before = seriesDocument(series('wbinvd', 'coherent'), CLOCK);
  const attached = seriesDocument(series('wbinvd', 'attached', 2_000_000), CLOCK);
  const difference = seriesDifference(before, attached, CLOCK);
  assert.ok(difference !== null);

  it('begins with one line in words, and has all that the issue asks for', async () => {
    const lines = await probeLines(
      {clock: CLOCK, machine: MACHINE, series: [before, attached], differences: [difference]},
      {paint: plain, width: null},
    );
    assert.match(
      lines[0] ?? '',
      /^The groups change the time of WBINVD by \+[\d ]+\.\d µs \(95 % sure: \+[\d ]+\.\d to \+[\d ]+\.\d µs\), [\d ]+ times as much: medians [\d ]+ ns without, [\d ]+\.\d µs with them\.$/,
    );
    const text = lines.join('\n');
    assert.match(text, /MIN +P25 +MEDIAN +P75 +P90 +P99 +P99\.9 +MAX +MEAN/);
    assert.match(
      text,
      /median of WBINVD with the groups less that of WBINVD before the groups: \+\d+\.\d µs \(95 % sure: .*: different/,
    );
    assert.match(text, /#####/);
    for (const fact of [
      'AMD EPYC 9254',
      '0xa101144',
      'kvm_amd',
      'performance',
      '2 600 000 kHz',
      'spectre_v1',
    ])
      assert.ok(text.includes(fact), fact);
  });

  it('has the ends of an interval in one unit, whatever their sizes', () => {
    const nanoseconds = {estimate: 100_000, low: 88_613, high: 129_100, confidence: 0.95 as const};
    assert.match(
      differenceLine({...difference, nanoseconds}, plain),
      /: \+100\.0 µs \(95 % sure: \+88\.6 to \+129\.1 µs\)/,
    );
  });

  it('leaves out quantiles that so few samples do not have', async () => {
    const few = seriesDocument(series('wbinvd', 'alone', 0, 100), CLOCK);
    const lines = await probeLines(
      {clock: CLOCK, machine: MACHINE, series: [few], differences: []},
      {paint: plain, width: null},
    );
    const [header = '', row = ''] = lines.slice(lines.findIndex((line) => line.includes('MEDIAN')));
    const cell = (name: string): string => row.slice(header.indexOf(name)).split(' ')[0] ?? '';
    assert.deepEqual([cell('P99.9'), /^\d/.test(cell('P99'))], ['-', true]);
  });

  it('says so when nothing was measured', () => {
    assert.match(headlineOf([]), /no sample was taken/);
    assert.match(headlineOf([seriesDocument(series('wbinvd', 'alone', 0, 0), CLOCK)]), /no sample was taken/);
  });

  it('names what is unknown, and lets nothing from outside steer the terminal', async () => {
    const nothing = Object.fromEntries(
      Object.keys(MACHINE).map((name) => [name, null]),
    ) as unknown as typeof MACHINE;
    const lines = await probeLines(
      {
        clock: {...CLOCK, source: '\u001b[2J'},
        machine: {
          ...nothing,
          cpu: 'evil\u001b]0;x\u0007',
          mitigations: {'x\u202e': '\u001b[31m'},
          kvfio: '0',
        },
        series: [before],
        differences: [],
      },
      {paint: plain, width: 100},
    );
    assert.ok(lines.some((line) => /^microcode +unknown$/.test(line)));
    for (const line of lines) assert.doesNotMatch(line, STEERING);
  });

  it('puts two runs side by side', async () => {
    const pair = {when: 'alone', phase: 'alone', samples: 1000, subtracted: 0, drifting: false} as const;
    const document: CompareDocument = {
      schemaVersion: 1,
      command: 'probe-compare',
      a: {path: 'a\u001b.json', clock: CLOCK, machine: MACHINE},
      b: {path: 'b.json', clock: CLOCK, machine: MACHINE},
      machineDifferences: [{field: 'microcode', a: '0x1', b: '0x2\u001b[2J'}],
      pairs: [
        {
          operation: 'wbinvd',
          a: {...before, ...pair},
          b: {...attached, ...pair},
          difference,
        },
      ],
      onlyInA: [],
      onlyInB: [{operation: 'cpuid', when: 'alone', phase: 'alone'}],
      warnings: [],
    };
    const lines = await compareLines(document, {paint: plain, width: null});
    assert.match(lines[0] ?? '', /^In B, WBINVD is \d+\.\d µs slower than in A\.$/);
    const text = lines.join('\n');
    assert.match(text, /median of B less that of A: \+/);
    assert.match(text, /p99\.9 +\d/);
    assert.match(text, /Only in B: CPUID/);
    for (const line of lines) assert.doesNotMatch(line, STEERING);
  });
});

describe('files of a run', () => {
  it('have every raw sample, in the order taken', () => {
    const all = [series('wbinvd', 'alone', 0, 25_000), series('cpuid', 'attached', 0, 3)];
    const lines = [...csvChunks(all, CLOCK)].join('').trimEnd().split('\n');
    assert.equal(lines.length, 1 + 25_000 + 3);
    assert.equal(lines[0], 'operation,phase,index,ticks,nanoseconds,when');
    for (const index of [0, 9_999, 10_000, 24_999]) {
      const ticks = all[0]?.ticks[index] ?? NaN;
      assert.equal(lines[index + 1], `wbinvd,alone,${index},${ticks},${(ticks / 2.6).toFixed(2)},alone`);
    }
    assert.match(lines.at(-1) ?? '', /^cpuid,attached,2,\d+,[\d.]+,with-groups$/);
  });

  it('stay small however many samples there are', () => {
    const size = (count: number): number => JSON.stringify(run([series('wbinvd', 'alone', 0, count)])).length;
    assert.ok(size(100_000) < 8_000, String(size(100_000)));
    const drawing = drawingOfRun(run([series('wbinvd', 'alone', 0, 100_000)]));
    assert.ok(svgOf(drawing).length < 20_000);
  });
});
