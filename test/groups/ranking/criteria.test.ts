import assert from 'node:assert/strict';
import {Failure} from '../../../src/failure.js';
import {groupsDocument, type GroupsDocument} from '../../../src/groups/groups-document.js';
import type {CriterionId} from '../../../src/groups/ranking/criteria.js';
import {rankingOf, type RankingWish} from '../../../src/groups/ranking/ranking-of.js';
import type {HostTree} from '../../../src/host/tree.js';
import {CaptureTree} from '../../../src/host/capture.js';
import {DirectoryTree} from '../../../src/host/directory-tree.js';
import {readHost} from '../../../src/iommu/host.js';
import {takeSnapshot} from '../../../src/snapshot/take-snapshot.js';
import {examine} from '../../../src/vfio/eligibility/examined.js';
import {
  folderOf,
  intel,
  machine,
  other,
  pci,
  port,
  type DeviceSpec,
  type MachineSpec,
  type PciOptions,
} from '../../support/machine.js';

const TWO_NODES = {
  'sys/devices/system/node/online': '0-1\n',
  'sys/devices/system/node/node0/distance': '10 32\n',
  'sys/devices/system/node/node1/distance': '32 10\n',
};

const rankTree = (tree: HostTree, wish: RankingWish = {}): GroupsDocument => {
  const host = readHost(tree, {regions: true});
  return groupsDocument(host, null, {
    explain: false,
    regions: false,
    examined: examine(tree, host),
    ranking: rankingOf(tree, host, wish),
  });
};

interface Extras {
  files?: Record<string, string>;
  wish?: RankingWish;
  spec?: MachineSpec;
}

const rank = (
  groups: Record<number, readonly DeviceSpec[]>,
  {files = {}, wish, spec = {}}: Extras = {},
): GroupsDocument => {
  using built = machine({
    units: {dmar0: intel('f050da'), dmar1: intel('f00f4a'), odd: {files: {}}},
    groups,
    ...spec,
  });
  for (const [path, text] of Object.entries(files)) built.write(path, text);
  return rankTree(new DirectoryTree(built.root), wish);
};

/** The first two groups, what decides between them, and what is said of both. */
const decided = (
  criterion: CriterionId,
  {groups}: GroupsDocument,
): {order: number[]; by: unknown; reasons: (string | undefined)[]} => ({
  order: groups.map(({id}) => id),
  by: groups[0]?.rank?.decidedBy,
  reasons: groups.map(({rank}) => rank?.reasons.find((each) => each.criterion === criterion)?.reason),
});

/** A function that vfio-pci has, alone behind a port of its own. */
const given = (bus: number, options: PciOptions = {}): DeviceSpec =>
  pci(`0000:0${bus}:00.0`, {
    unit: 'dmar0',
    driver: 'vfio-pci',
    vfio: [`vfio${bus}`],
    reset: 'flr bus',
    parent: `pci0000:00/0000:00:0${bus}.0`,
    ...options,
  });

describe('the place of a group', () => {
  it('depends first on whether a VM can have it', () => {
    const found = decided(
      'assignable',
      rank({
        2: [port('0000:02:1c.0', {unit: 'dmar0'})],
        3: [given(3, {driver: 'e1000e', vfio: [], reset: 'flr'})],
        4: [given(4)],
      }),
    );
    assert.deepEqual(found.order, [4, 3, 2]);
    assert.equal(found.by, 'assignable');
    assert.equal(found.reasons[0], 'a VM can have it now');
    assert.equal(found.reasons[1], 'a VM can have it after "kvfio bind"');
    assert.match(found.reasons.at(-1) ?? '', /^it has nothing for a VM$/);
  });

  it('is better for one function than for several, and for those of one card than for those of two', () => {
    const found = decided(
      'isolation',
      rank({
        1: [given(1), given(2)],
        2: [0, 1, 2].map((fn) => ({...given(3), name: `0000:03:00.${fn}`, vfio: []})),
        3: [given(4)],
      }),
    );
    assert.deepEqual(found.order, [3, 2, 1]);
    assert.equal(found.by, 'isolation');
    assert.deepEqual(found.reasons, [
      'it has one function',
      'it has 3 functions of one card, which go together',
      'it has 2 functions of 2 cards, which go together',
    ]);
  });

  it('does not count bridges, which stay with the host', () => {
    const behind = port('0000:00:01.0', {unit: 'dmar0'});
    const found = decided(
      'isolation',
      rank({1: [behind, given(1, {parent: folderOf(behind)})], 2: [given(2)]}),
    );
    assert.deepEqual(found.reasons, ['it has one function', 'it has one function']);
    assert.equal(found.by, 'number');
  });

  it('is better near the NUMA node that is asked for, by the distances of the firmware', () => {
    const groups = {1: [given(1, {numa: 0})], 2: [given(2, {numa: 1})], 3: [given(3)]};
    const found = decided('numa', rank(groups, {files: TWO_NODES, wish: {numa: 1}}));
    assert.deepEqual(found.order, [2, 1, 3]);
    assert.equal(found.by, 'numa');
    assert.deepEqual(found.reasons, [
      'it is on NUMA node 1',
      'it is on NUMA node 0, at distance 32 from node 1',
      'the machine does not say on which NUMA node 0000:03:00.0 is',
    ]);
  });

  it('knows no nodes unless one is asked for', () => {
    const {ranking, groups} = rank({1: [given(1, {numa: 1})], 2: [given(2, {numa: 0})]}, {files: TWO_NODES});
    assert.deepEqual(ranking?.criteria, ['assignable', 'isolation', 'reset', 'boot-display']);
    assert.deepEqual(
      groups.map(({id}) => id),
      [1, 2],
    );
  });

  it("takes a device for local on a machine with one node, and the kernel's distances where none are shown", () => {
    const one = {'sys/devices/system/node/online': '0\n', 'sys/devices/system/node/node0/distance': '10\n'};
    assert.deepEqual(decided('numa', rank({1: [given(1)]}, {files: one, wish: {numa: 0}})).reasons, [
      'it is on NUMA node 0',
    ]);
    const none = rank({1: [given(1, {numa: 0})], 2: [given(2, {numa: 1})]}, {wish: {numa: 1}});
    assert.deepEqual(decided('numa', none).reasons, [
      'it is on NUMA node 1',
      'it is on NUMA node 0, at distance 20 from node 1',
    ]);
  });

  it('takes the distances of the kernel where the nodes are malformed, and warns', () => {
    const files = {'sys/devices/system/node/online': `${Array(580).fill('0-9999').join(',')}\n`};
    const document = rank({1: [given(1, {numa: 1})], 2: [given(2, {numa: 0})]}, {files, wish: {numa: 0}});
    assert.deepEqual(decided('numa', document).order, [2, 1]);
    assert.deepEqual(
      document.warnings.map(({code, path}) => [code, path]),
      [['MALFORMED', '/sys/devices/system/node/online']],
    );
  });

  it('refuses a NUMA node that the machine does not have', () => {
    assert.throws(
      () => rank({1: [given(1)]}, {files: TWO_NODES, wish: {numa: 4}}),
      (error) => error instanceof Failure && error.code === 'NUMA_NODE_NOT_FOUND' && error.exitCode === 3,
    );
  });

  it('depends on how its functions are reset', () => {
    const shared = (bus: number, fn: number, reset?: string): DeviceSpec => ({
      ...given(bus, reset === undefined ? {} : {reset}),
      name: `0000:0${bus}:00.${fn}`,
      ...(fn === 0 ? {} : {vfio: []}),
    });
    const bare = (bus: number): DeviceSpec => {
      const spec = given(bus);
      const files = Object.entries(spec.files).filter(([name]) => name !== 'reset_method');
      return {...spec, files: Object.fromEntries(files)};
    };
    const document = rank({
      1: [bare(1)],
      2: [given(2, {reset: 'pm'})],
      3: [given(3, {reset: 'bus'})],
      4: [given(4, {reset: 'device_specific bus'})],
      5: [shared(5, 0, 'bus')],
      6: [{...bare(5), name: '0000:05:00.1', vfio: []}],
      7: [given(7, {reset: 'phase_of_moon'})],
    });
    const found = decided('reset', document);
    assert.deepEqual(found.order, [4, 3, 2, 5, 6, 7, 1]);
    assert.equal(found.by, 'reset');
    assert.deepEqual(found.reasons, [
      '0000:04:00.0 can be reset by device_specific, which leaves others alone',
      '0000:03:00.0 can be reset by bus, and is the only function on its bus',
      '0000:02:00.0 can be reset by pm, which leaves others alone and its own state undefined',
      '0000:05:00.0 can be reset only with its bus, which also resets 0000:05:00.1 of other groups',
      '0000:05:00.1 can be reset only with its bus, which also resets 0000:05:00.0 of other groups',
      '0000:07:00.0 can be reset by phase_of_moon, which kvfio does not know',
      '0000:01:00.0 cannot be reset: a VM gets it as the last one left it',
    ]);
    assert.deepEqual(document.groups[0]?.rank?.resets[0]?.methods, [
      {method: 'device_specific', leavesSiblingsAlone: true},
      {method: 'bus', leavesSiblingsAlone: false},
    ]);
    assert.deepEqual(document.groups[5]?.rank?.resets[0]?.methods, [
      {method: 'phase_of_moon', leavesSiblingsAlone: null},
    ]);
    assert.deepEqual(document.groups[3]?.rank?.resets[0]?.siblings, ['0000:05:00.1']);
  });

  it('counts a reset of the bus that reaches only the group before one that reaches others', () => {
    const pair = (bus: number): DeviceSpec[] =>
      [0, 1].map((fn) => ({...given(bus, {reset: 'bus'}), name: `0000:0${bus}:00.${fn}`, vfio: []}));
    const stranger = {...given(1, {reset: 'flr', driver: 'e1000e'}), name: '0000:01:00.2', vfio: []};
    const document = rank({1: pair(1), 2: pair(2), 3: [stranger]});
    assert.deepEqual(
      document.groups.map(({id, rank: place}) => [id, place?.resets[0]?.quality]),
      [
        [2, 'bus-group'],
        [1, 'bus-shared'],
        [3, 'function'],
      ],
    );
  });

  it('says that a kernel before 5.15 shows no methods, which is not that there are none', () => {
    const bare = pci('0000:01:00.0', {unit: 'dmar0', driver: 'vfio-pci', vfio: ['vfio0']});
    const old = rank({1: [bare]}, {spec: {release: '5.10.0-28-amd64'}});
    assert.equal(old.groups[0]?.rank?.resets[0]?.quality, 'unknown');
    assert.equal(rank({1: [bare]}).groups[0]?.rank?.resets[0]?.quality, 'none');
  });

  it('is worse for the boot display, by its mark or by the framebuffer of the firmware', () => {
    const gpu = (bus: number, boot?: string): DeviceSpec => {
      const spec = given(bus, {classCode: '030000'});
      return boot === undefined ? spec : {...spec, files: {...spec.files, boot_vga: `${boot}\n`}};
    };
    const document = rank(
      {1: [gpu(1, '1')], 2: [gpu(2)], 3: [gpu(3, '0')], 4: [gpu(4, '0')]},
      {
        files: {
          'sys/bus/platform/devices/simple-framebuffer.0/uevent': '',
          'proc/iomem':
            '00000000-00000000 : PCI Bus 0000:04\n  00000000-00000000 : 0000:04:00.0\n    00000000-00000000 : BOOTFB\n',
        },
      },
    );
    const found = decided('boot-display', document);
    assert.deepEqual(found.order.slice(0, 2), [3, 2]);
    assert.equal(found.by, 'boot-display');
    assert.deepEqual(found.reasons.slice(0, 3), [
      'it has no boot display',
      'the machine does not say whether 0000:02:00.0 is the boot display',
      '0000:01:00.0 is the boot display (boot_vga is 1)',
    ]);
    const framebuffer = document.groups.at(-1);
    assert.equal(framebuffer?.id, 4);
    assert.match(JSON.stringify(framebuffer.rank?.reasons), /has the framebuffer of the firmware \(BOOTFB\)/);
  });

  it('is by number where all else is equal', () => {
    const document = rank({12: [given(2)], 3: [given(1)], 100: [given(3)]});
    assert.deepEqual(
      document.groups.map(({id, rank: place}) => [id, place?.place, place?.decidedBy]),
      [
        [3, 1, 'number'],
        [12, 2, 'number'],
        [100, 3, null],
      ],
    );
  });

  it('is none of a group whose verdict is not coherent, where only coherent ones are asked for', () => {
    const groups = {1: [given(1, {unit: 'dmar1'})], 2: [given(2)], 3: [given(3, {unit: 'odd'})]};
    const document = rank(groups, {wish: {coherent: true}});
    assert.deepEqual(
      document.groups.map(({id}) => id),
      [2],
    );
    assert.deepEqual(document.ranking?.unknownCoherency, [3]);
    assert.equal(rank(groups).groups.length, 3);
  });

  it('is the same from a snapshot', () => {
    using built = machine({
      units: {dmar0: intel('f050da')},
      groups: {
        1: [given(1, {numa: 0, classCode: '030000'})],
        2: [given(2, {numa: 1, reset: 'pm'})],
        3: [other('platform', 'fd88.usb', {unit: 'dmar0'})],
      },
    });
    for (const [path, text] of Object.entries(TWO_NODES)) built.write(path, text);
    const tree = new DirectoryTree(built.root);
    const captured = new CaptureTree(takeSnapshot(tree, 'test', false).capture, 'machine.json');
    const ranks = (from: HostTree): unknown => {
      const {groups, ranking} = rankTree(from, {numa: 1});
      return {ranking, ranks: groups.map(({id, rank: place}) => ({id, place}))};
    };
    assert.deepEqual(ranks(captured), ranks(tree));
  });
});
