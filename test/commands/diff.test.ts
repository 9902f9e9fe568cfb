import assert from 'node:assert/strict';
import {mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {gzipSync} from 'node:zlib';
import type {ErrorDocument} from '../../src/cli/output/report.js';
import Diff from '../../src/commands/diff.js';
import Snapshot from '../../src/commands/snapshot.js';
import type {BaselineDocument} from '../../src/diff/baseline-document.js';
import type {DiffDocument} from '../../src/diff/diff-document.js';
import {withCards} from '../diff/machines.js';
import {MACHINES} from '../fixtures/machines.js';
import {machine, type MachineSpec} from '../support/machine.js';
import {run, type Outcome} from '../support/run.js';
import {documentOf} from '../support/schema.js';

const NIC = {};
const OTHER = {device: '1521'};

describe('kvfio diff', () => {
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'kvfio-diff-'))));
  afterEach(() => {
    rmSync(folder, {recursive: true});
  });

  /** Writes a snapshot and returns its path. */
  const snapshot = async (name: string, spec: MachineSpec): Promise<string> => {
    using built = machine(spec);
    const path = join(folder, name);
    assert.equal((await run(Snapshot, [path, '--sysroot', built.root, '--quiet'])).exit, 0);
    return path;
  };
  const diff = (...argv: string[]): Promise<Outcome> => run(Diff, argv);

  it('finds nothing between a machine and its snapshot, whatever its oddities', async () => {
    for (const [name, spec] of Object.entries(MACHINES)) {
      using built = machine(spec);
      const path = join(folder, 'machine.json.gz');
      await run(Snapshot, [path, '--sysroot', built.root, '--force', '--quiet']);
      const {exit, stdout} = await diff(path, built.root, '--json');
      assert.equal(exit, 0);
      const {same, counts, groups, devices} = documentOf<DiffDocument>(stdout, 'diff');
      assert.ok(same, `${name}: ${JSON.stringify([counts, groups, devices], null, 1)}`);
    }
  });

  it('compares with this host where B is left out', async () => {
    const {exit, stdout} = await diff(await snapshot('a.json', withCards({0x1c: NIC})), '--json');
    assert.equal(exit, 0);
    const document = documentOf<DiffDocument>(stdout, 'diff');
    assert.deepEqual([document.a.origin.kind, document.b.origin], ['capture', {kind: 'host', path: '/'}]);
  });

  it('says in words what moved, is gone, is new and has changed', async () => {
    const a = await snapshot('a.json', withCards({0x1b: NIC, 0x1c: OTHER}, {commandLine: 'iommu=pt'}));
    const b = await snapshot(
      'b.json',
      withCards(
        {0x1a: {device: '1c20'}, 0x1b: {driver: 'vfio-pci'}, 0x1d: OTHER},
        {release: '6.1.0-40-amd64'},
      ),
    );
    const {exit, stdout, stderr} = await diff(a, b);
    assert.equal(exit, 0);
    assert.equal(stderr, '');
    const text = stdout.replaceAll(/\n {2}/g, ' ');
    for (const line of [
      /^A: .*a\.json, Linux 6\.12\.107-1-amd64, 4 groups, 4 devices$/m,
      /^kernel 6\.12\.107-1-amd64 -> 6\.1\.0-40-amd64$/m,
      /^command line: iommu=pt removed$/m,
      /^groups with another number: 0 -> 2, 1 -> 3, 2 -> 0, 3 -> 5$/m,
      /^0000:01:00\.0 -> 0000:02:00\.0 .*82574L.*: moved \(the same slot, buses have other numbers\), driver e1000e -> vfio-pci/m,
      /^0000:02:00\.0 -> 0000:03:00\.0 .*: moved to another slot$/m,
      /^0000:01:00\.0 .*: new, group 1, driver e1000e$/m,
      /^What differs: the kernel, .*moved/m,
    ])
      assert.match(text, line);
    // which of two ports the one that is missing has become
    assert.deepEqual(
      text.match(/^.*guess.*$/gm)?.map((line) => /^\S+/.exec(line)?.[0]),
      ['0000:00:1c.0'],
    );
  });

  it('says that it guesses which of several identical devices has moved', async () => {
    const a = await snapshot('a.json', withCards({0x10: NIC, 0x11: NIC}));
    const b = await snapshot('b.json', withCards({0x14: NIC, 0x15: NIC}));
    const {stdout} = await diff(a, b);
    assert.equal(
      stdout.replaceAll(/\n {2}/g, ' ').match(/82574L.*a guess among several of its model$/gm)?.length,
      2,
    );
    const {counts} = documentOf<DiffDocument>((await diff(a, b, '--json')).stdout, 'diff');
    // the ports are as alike as the cards
    assert.equal(counts.guesses, 4);
  });

  it('has one line for many devices that differ in the same way', async () => {
    const cards = (driver: string): MachineSpec =>
      withCards(Object.fromEntries([1, 2, 3, 4].map((slot) => [slot, {driver}])));
    const {stdout} = await diff(
      await snapshot('a.json', cards('e1000e')),
      await snapshot('b.json', cards('igb')),
    );
    const text = stdout.replaceAll(/\n {2}/g, ' ');
    assert.match(
      text,
      /^4 devices: driver e1000e -> igb: 0000:01:00\.0, 0000:02:00\.0, 0000:03:00\.0 and 0000:04:00\.0$/m,
    );
  });

  it('prints nothing of a device that steers the terminal', async () => {
    const a = await snapshot('a.json', withCards({1: NIC}));
    const b = await snapshot(
      'b.json',
      withCards({1: {driver: 'x\u001b[2J\u202e'}}, {commandLine: 'iommu=\u001b[1m'}),
    );
    for (const argv of [
      [a, b],
      [b, a],
      [a, b, '--json'],
      ['--baseline', a, folder],
    ]) {
      const {stdout, stderr} = await diff(...argv);
      assert.doesNotMatch(stdout + stderr, /[\u001b\u202e]/);
    }
  });

  describe('--expect', () => {
    it('exits with 7 when something differs, in text and JSON, and with 0 when nothing does', async () => {
      const [a, b] = [
        await snapshot('a.json', withCards({1: NIC})),
        await snapshot('b.json', withCards({2: NIC})),
      ];
      for (const more of [[], ['--json'], ['--quiet']]) {
        assert.equal((await diff('--expect', a, b, ...more)).exit, 7);
        assert.equal((await diff('--expect', a, a, ...more)).exit, 0);
        assert.equal((await diff(a, b, ...more)).exit, 0);
      }
      assert.match((await diff('--expect', a, b)).stdout, /^B is not as expected: /m);
      assert.equal((await diff('--expect', a, a)).stdout.split('\n').at(-2), 'B is as expected.');
    });

    it('compares with this host without B', async () => {
      const {exit, stdout} = await diff('--expect', await snapshot('a.json', withCards({1: NIC})), '--json');
      const {b, expected, same} = documentOf<DiffDocument>(stdout, 'diff');
      assert.deepEqual([exit, b.origin.kind, expected, same], [7, 'host', true, false]);
    });

    it('exits with 7 for each thing that may differ', async () => {
      const usual = withCards({1: NIC, 2: NIC});
      const a = await snapshot('a.json', usual);
      const others: Record<string, MachineSpec> = {
        kernel: withCards({1: NIC, 2: NIC}, {release: '6.12.108-1-amd64'}),
        parameters: withCards({1: NIC, 2: NIC}, {commandLine: 'iommu=pt'}),
        unit: withCards({1: NIC, 2: NIC}, {units: {}}),
        driver: withCards({1: NIC, 2: {driver: null}}),
        gone: withCards({1: NIC}),
        numbers: {...usual, groups: {...usual.groups, 0: [], 9: usual.groups?.[0] ?? []}},
      };
      for (const [what, spec] of Object.entries(others))
        assert.equal((await diff('--expect', a, await snapshot(`${what}.json`, spec))).exit, 7, what);
    });
  });

  describe('--baseline', () => {
    const fleet = async (): Promise<{a: string; dir: string}> => {
      const a = await snapshot('a.json', withCards({1: NIC}));
      const dir = join(folder, 'fleet');
      mkdirSync(dir);
      const move = withCards({2: NIC});
      for (const name of ['h1.json', 'h2.json.gz', 'h3.json'])
        await snapshot(`fleet/${name}`, withCards({1: NIC}));
      for (const name of ['h4.json', 'h5.json'])
        await snapshot(`fleet/${name}`, withCards({1: {driver: 'vfio-pci'}}));
      await snapshot('fleet/h6.json', move);
      return {a, dir};
    };

    it('tells kinds of hosts, how many, an example and what differs, and the odd ones', async () => {
      const {a, dir} = await fleet();
      const {exit, stdout} = await diff('--baseline', a, dir, '--json');
      assert.equal(exit, 0);
      const {hosts, kinds, unread, incomplete} = documentOf<BaselineDocument>(stdout, 'diff-baseline');
      assert.deepEqual([hosts, unread, incomplete], [6, [], 0]);
      assert.deepEqual(
        kinds.map((kind) => [
          kind.hosts,
          kind.example.slice(dir.length + 1),
          kind.same,
          kind.odd,
          kind.files.length,
          kind.counts.devices,
        ]),
        [
          [3, 'h1.json', true, false, 3, {gone: 0, new: 0, moved: 0, changed: 0}],
          [2, 'h4.json', false, false, 2, {gone: 0, new: 0, moved: 0, changed: 1}],
          [1, 'h6.json', false, true, 1, {gone: 0, new: 0, moved: 2, changed: 0}],
        ],
      );
      const text = (await diff('--baseline', a, dir)).stdout;
      for (const line of [
        /^6 hosts of 3 kinds; 3 are as the baseline\.$/m,
        /^1 +3 +\S+h1\.json +none$/m,
        /^2 +2 +\S+h4\.json +1 group; 1 device changed$/m,
        /^3 +1 +\S+h6\.json +2 devices moved$/m,
        /^The odd ones out: 1 host$/m,
        /^kind 3: \S+h6\.json$/m,
      ])
        assert.match(text, line);
    });

    it('names and counts what is no snapshot, and goes on', async () => {
      const {a, dir} = await fleet();
      const junk: Record<string, string | Buffer> = {
        'a-empty': '',
        'b-text.json': 'no snapshot',
        'c-json.json': '{"kvfioCapture": 2}',
        'd-cut.json.gz': gzipSync('{"kvfioCapture"').subarray(0, 20),
        'z.large.gz': gzipSync(Buffer.alloc(33 * 1024 * 1024, ' ')),
      };
      for (const [name, content] of Object.entries(junk)) writeFileSync(join(dir, name), content);
      mkdirSync(join(dir, 'e-folder'));
      const {exit, stdout} = await diff('--baseline', a, dir, '--json');
      assert.equal(exit, 0);
      const {hosts, unread} = documentOf<BaselineDocument>(stdout, 'diff-baseline');
      assert.equal(hosts, 6);
      assert.deepEqual(
        unread.map(({file, code}) => [file.slice(dir.length + 1), code]),
        [...Object.keys(junk), 'e-folder'].sort().map((name) => [name, 'SYSROOT_UNUSABLE']),
      );
      assert.match(unread.find(({file}) => file.endsWith('z.large.gz'))?.why ?? '', /larger than the 32 MiB/);
      const text = (await diff('--baseline', a, dir)).stdout;
      assert.match(text, /^Not read as a machine: 6 entries$/m);
      assert.match(text, /^\S+a-empty: /m);
    });

    it('reads folders of machines, too', async () => {
      const a = await snapshot('a.json', withCards({1: NIC}));
      const dir = join(folder, 'fleet');
      mkdirSync(dir);
      using built = machine(withCards({1: {dsn: 7n}}), dir);
      const {kinds} = documentOf<BaselineDocument>(
        (await diff('--baseline', a, dir, '--json')).stdout,
        'diff-baseline',
      );
      assert.deepEqual(
        kinds.map(({same, hosts}) => [same, hosts]),
        [[true, 1]],
        built.root,
      );
    });

    it('names less than one in a hundred as odd, and up to a hundred of each kind', async () => {
      const {a, dir} = await fleet();
      const usual = readFileSync(join(dir, 'h1.json'));
      for (let at = 0; at < 250; at++) writeFileSync(join(dir, `x${at}.json`), usual);
      const {kinds} = documentOf<BaselineDocument>(
        (await diff('--baseline', a, dir, '--json')).stdout,
        'diff-baseline',
      );
      assert.deepEqual(
        kinds.map(({hosts, odd, files}) => [hosts, odd, files.length]),
        [
          [253, false, 100],
          [2, true, 2],
          [1, true, 1],
        ],
      );
    });
  });

  const failures: [what: string, argv: (a: string, at: string) => string[], exit: number][] = [
    ['nothing to compare', () => [], 2],
    ['three machines', (a) => [a, a, a], 2],
    ['two beside --expect', (a) => ['--expect', a, a, a], 2],
    ['--expect and --baseline', (a, at) => ['--expect', a, '--baseline', a, at], 2],
    ['--baseline without a folder', (a) => ['--baseline', a], 2],
    ['--baseline with two', (a, at) => ['--baseline', a, at, at], 2],
    ['--baseline with a file', (a) => ['--baseline', a, a], 2],
    ['--baseline with a folder that does not exist', (a, at) => ['--baseline', a, join(at, 'no')], 3],
    ['--baseline with a folder without snapshots', (a, at) => ['--baseline', a, join(at, 'empty')], 3],
    ['an empty name', (a) => [a, ''], 2],
    ['a machine that does not exist', (a, at) => [a, join(at, 'no')], 3],
    ['what is no machine', (a, at) => [join(at, 'empty'), a], 2],
  ];
  for (const [what, argv, exit] of failures)
    it(`exits with ${exit} for ${what}`, async () => {
      const a = await snapshot('a.json', withCards({1: NIC}));
      mkdirSync(join(folder, 'empty'));
      const outcome = await diff(...argv(a, folder), '--json');
      const {error} = documentOf<ErrorDocument>(outcome.stdout, 'error');
      assert.deepEqual([outcome.exit, error.exit], [exit, exit], JSON.stringify(error));
    });
});
