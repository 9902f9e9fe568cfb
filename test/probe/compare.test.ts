import assert from 'node:assert/strict';
import {writeFileSync} from 'node:fs';
import fc from 'fast-check';
import {Failure} from '../../src/failure.js';
import {compareRuns} from '../../src/probe/compare.js';
import {readProbeRun} from '../../src/probe/read-probe-run.js';
import {seriesDifference, seriesDocument} from '../../src/probe/series-document.js';
import {scratch} from '../vm/vmm.js';
import {CLOCK, MACHINE, run, series} from './documents.js';

describe('comparing two runs', () => {
  let folder: ReturnType<typeof scratch>;
  beforeEach(() => {
    folder = scratch();
  });
  afterEach(() => {
    folder[Symbol.dispose]();
  });
  const file = (name: string, content: unknown): string => {
    const path = folder.path(name);
    writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
    return path;
  };
  const failure = (work: () => unknown): Failure => {
    try {
      work();
    } catch (error) {
      assert.ok(error instanceof Failure, String(error));
      return error;
    }
    return assert.fail('nothing failed');
  };

  it('finds the difference that there is, and its interval', () => {
    const a = file('a.json', run([series('wbinvd'), series('cpuid')]));
    const b = file('b.json', run([series('cpuid'), series('wbinvd', 'coherent', 260)]));
    const {pairs, machineDifferences, warnings} = compareRuns(a, b);
    assert.deepEqual(
      pairs.map(({operation, a: one, b: other}) => [operation, one.phase, other.phase]),
      [
        ['wbinvd', 'alone', 'coherent'],
        ['cpuid', 'alone', 'alone'],
      ],
    );
    const [wbinvd, cpuid] = pairs.map(({difference}) => difference);
    assert.equal(wbinvd?.different, true);
    const {estimate = NaN, low = NaN, high = NaN} = wbinvd.cycles ?? {};
    assert.ok(Number(low) <= 260 && 260 <= Number(high), `${low} ${high}`);
    assert.ok(Math.abs(estimate / 2.6 - wbinvd.nanoseconds.estimate) < 0.01);
    assert.deepEqual([cpuid?.different, cpuid?.nanoseconds.estimate, cpuid?.ratio], [false, 0, 1]);
    assert.deepEqual([machineDifferences, warnings], [[], []]);
  });

  it('says the same of two files as of two series of one run', () => {
    const one = series('wbinvd', 'coherent');
    const other = series('wbinvd', 'attached', 500);
    const inOneRun = seriesDifference(seriesDocument(one, CLOCK), seriesDocument(other, CLOCK), CLOCK);
    const [pair] = compareRuns(
      file('a.json', run([one])),
      file('b.json', run([{...other, phase: 'coherent'}])),
    ).pairs;
    assert.deepEqual(pair?.difference?.nanoseconds, inOneRun?.nanoseconds);
  });

  it('compares in nanoseconds where the clocks differ, and lists what else does', () => {
    const a = file('a.json', run([series('wbinvd')]));
    const b = file(
      'b.json',
      run([series('wbinvd')], {
        clock: {tscKhz: 1_300_000, source: 'KVM_GET_TSC_KHZ'},
        machine: {...MACHINE, pinnedCpu: null, mitigations: {meltdown: 'Mitigation: PTI'}},
      }),
    );
    const {pairs, machineDifferences} = compareRuns(a, b);
    assert.equal(pairs[0]?.difference?.cycles, null);
    assert.equal(pairs[0].difference.ratio, 2);
    assert.deepEqual(
      machineDifferences.map(({field, a: one, b: other}) => [field, one, other]),
      [
        ['pinnedCpu', '3', null],
        ['mitigations.meltdown', 'Not affected', 'Mitigation: PTI'],
        ['mitigations.spectre_v1', 'Mitigation: usercopy/swapgs barriers', null],
        ['clock', '2600000 kHz', '1300000 kHz'],
      ],
    );
  });

  it('names what only one of them has, and warns of what cannot be compared fairly', () => {
    const less = run([]);
    less.series = [
      seriesDocument(series('wbinvd'), CLOCK, {subtract: 30}),
      seriesDocument(series('pio'), CLOCK, {subtract: 30}),
    ];
    const {onlyInA, onlyInB, warnings} = compareRuns(
      file('a.json', less),
      file('b.json', run([series('wbinvd'), series('cpuid'), series('wbinvd', 'attached')])),
    );
    assert.deepEqual(onlyInA, [{operation: 'pio', when: 'alone', phase: 'alone'}]);
    assert.deepEqual(onlyInB, [
      {operation: 'cpuid', when: 'alone', phase: 'alone'},
      {operation: 'wbinvd', when: 'with-groups', phase: 'attached'},
    ]);
    assert.match(
      warnings[0]?.message ?? '',
      /^WBINVD: one run has the median of the operation empty subtracted, the other has not/,
    );
  });

  it('can tell nothing of a run that was stopped before its first sample', () => {
    const {pairs} = compareRuns(
      file('a.json', run([series('wbinvd', 'alone', 0, 0)])),
      file('b.json', run([series('wbinvd')])),
    );
    assert.deepEqual([pairs[0]?.a.samples, pairs[0]?.difference], [0, null]);
  });

  it('fails when they have no operation in common, and lists what they have', () => {
    const {code, exitCode, why} = failure(() =>
      compareRuns(
        file('a.json', run([series('wbinvd', 'attached')])),
        file('b.json', run([series('cpuid')])),
      ),
    );
    assert.deepEqual([code, exitCode], ['PROBE_NOTHING_COMMON', 2]);
    assert.match(why, /a\.json has WBINVD with the groups, .*b\.json has CPUID\./);
  });

  const good = run([series('wbinvd')]);
  const [entry] = good.series;
  const damaged: [name: string, content: unknown, code: string, exit: number, why: RegExp][] = [
    ['nothing', '', 'PROBE_FILE_UNUSABLE', 2, /empty/],
    ['no JSON', 'median: 5', 'PROBE_FILE_UNUSABLE', 2, /no JSON/],
    ['half a document', JSON.stringify(good).slice(0, 1000), 'PROBE_FILE_UNUSABLE', 2, /no JSON/],
    ['an array', [], 'PROBE_FILE_UNUSABLE', 2, /not a document of kvfio/],
    ['other JSON', {name: 'kvfio'}, 'PROBE_FILE_UNUSABLE', 2, /not what "kvfio probe/],
    ['groups', {schemaVersion: 1, groups: []}, 'PROBE_FILE_UNUSABLE', 2, /another command/],
    ['a failure', {schemaVersion: 1, error: {code: 'X'}}, 'PROBE_FILE_UNUSABLE', 2, /failure of a command/],
    ['a later version', {...good, schemaVersion: 2}, 'PROBE_FILE_VERSION', 2, /schemaVersion is 2/],
    ['no clock', {...good, clock: undefined}, 'PROBE_FILE_UNUSABLE', 2, /clock is missing/],
    ['a stopped clock', {...good, clock: {tscKhz: 0}}, 'PROBE_FILE_UNUSABLE', 2, /clock\.tscKhz/],
    [
      'a text for a number',
      {...good, series: [{...entry, cycles: {...entry?.cycles, p99: '5'}}]},
      'PROBE_FILE_UNUSABLE',
      2,
      /series\[0\]\.cycles\.p99 is a string/,
    ],
    [
      'quantiles that fall',
      {...good, series: [{...entry, cycles: {...entry?.cycles, p99: 1}}]},
      'PROBE_FILE_UNUSABLE',
      2,
      /quantiles that do not rise/,
    ],
    [
      'more replicates than there are',
      {...good, series: [{...entry, medianReplicates: new Array(100_000).fill(1)}]},
      'PROBE_FILE_UNUSABLE',
      2,
      /100000 entries/,
    ],
    [
      'infinity',
      JSON.stringify(good).replace(/"median":[\d.]+/, '"median":1e999'),
      'PROBE_FILE_UNUSABLE',
      2,
      /median is a number, not a finite number/,
    ],
  ];
  for (const [name, content, code, exit, why] of damaged) {
    it(`fails clearly on ${name}`, () => {
      const path = file('x.json', content);
      const found = failure(() => readProbeRun(path));
      assert.deepEqual([found.code, found.exitCode], [code, exit]);
      assert.match(found.why, why);
      assert.ok(found.what.startsWith(path));
    });
  }

  it('fails clearly on a file that is missing, or a folder', () => {
    assert.deepEqual(failure(() => readProbeRun(folder.path('none'))).exitCode, 3);
    assert.match(failure(() => readProbeRun(folder.path('.'))).why, /folder/);
  });

  it('reads back exactly what was written, and never throws anything but a failure', () => {
    const path = file('good.json', good);
    assert.deepEqual(readProbeRun(path).machine, MACHINE);
    assert.deepEqual(readProbeRun(path).series[0]?.medianReplicates, entry?.medianReplicates);
    const text = JSON.stringify(good);
    fc.assert(
      fc.property(
        fc.integer({min: 0, max: text.length - 1}),
        fc.constantFrom('0', '"', '{', '-', 'null', ''),
        (at, put) => {
          const changed = file('changed.json', text.slice(0, at) + put + text.slice(at + 1));
          try {
            readProbeRun(changed);
          } catch (error) {
            assert.ok(error instanceof Failure, String(error));
          }
        },
      ),
      {numRuns: 200},
    );
  });
});
