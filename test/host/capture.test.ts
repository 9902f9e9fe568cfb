import assert from 'node:assert/strict';
import {rmSync, writeFileSync} from 'node:fs';
import {constants} from 'node:os';
import {gzipSync} from 'node:zlib';
import {Failure} from '../../src/failure.js';
import {CaptureTree, emptyCapture, RecordingTree, type Capture} from '../../src/host/capture.js';
import {DirectoryTree} from '../../src/host/directory-tree.js';
import {SyscallError} from '../../src/linux/errno.js';
import type {HostTree} from '../../src/host/tree.js';
import {openTree} from '../../src/host/open-tree.js';
import {intel, machine, pci} from '../support/machine.js';
import {made} from '../support/made.js';
import {scratch} from '../vm/vmm.js';

const DEVICE = '/sys/devices/pci0000:01/0000:01:00.0';

/** Records `look` at a machine and returns a tree that replays it, after a trip through JSON. */
const replay = (source: HostTree, look: (tree: HostTree) => void): CaptureTree => {
  const recorder = new RecordingTree(source, emptyCapture('1.0.0', true));
  look(recorder);
  return new CaptureTree(JSON.parse(JSON.stringify(recorder.capture)) as Capture, 'x');
};

const hex = (bytes: Buffer): string => bytes.toString('hex');

describe('a capture', () => {
  it('replays texts, links, folders, parts and refusals', () => {
    using built = machine({
      units: {dmar0: intel('f050da')},
      groups: {0: [pci('0000:01:00.0', {unit: 'dmar0'})]},
    });
    const look = (tree: HostTree): unknown[] => [
      tree.text(`${DEVICE}/uevent`),
      tree.link(`${DEVICE}/iommu`),
      tree.list('/sys/kernel/iommu_groups'),
      tree.inspect(`${DEVICE}/config`, (at) => [hex(at(0, 64)), hex(at(0x60, 2))]),
      ...[
        tree.text(DEVICE),
        tree.list(`${DEVICE}/vendor`),
        tree.link(`${DEVICE}/irq`),
        tree.text('/sys/nothing'),
      ].map((answer) => (answer instanceof SyscallError ? answer.code : answer)),
    ];
    const source = new DirectoryTree(built.root);
    assert.deepEqual(look(replay(source, look)), look(source));
    assert.deepEqual(look(source).slice(-4), ['EISDIR', 'ENOTDIR', 'EINVAL', 'ENOENT']);
  });

  it('keeps what was read of a file on every occasion', () => {
    using built = machine({ungrouped: [pci('0000:01:00.0')]});
    const source = new DirectoryTree(built.root);
    const config = `${DEVICE}/config`;
    const tree = replay(source, (recorder) => {
      recorder.inspect(config, (at) => at(0x68, 2));
      recorder.inspect(config, (at) => [at(0, 64), at(0x60, 2)]);
      recorder.inspect(config, (at) => at(0, 4));
    });
    const look = (at: (offset: number, length: number) => Buffer): string[] => [
      hex(at(0x68, 2)),
      hex(at(0, 64)),
      hex(at(0x60, 2)),
    ];
    assert.deepEqual(tree.inspect(config, look), source.inspect(config, look));
  });

  it('says of a file that could be opened but not read that it is empty, not that it is missing', () => {
    using built = machine({ungrouped: [pci('0000:01:00.0', {config: Buffer.alloc(0)})]});
    const look = (tree: HostTree): unknown => tree.inspect(`${DEVICE}/config`, (at) => at(0, 64).length);
    assert.equal(look(replay(new DirectoryTree(built.root), look)), 0);
  });

  it('replays the last answer where a device went away between two looks', () => {
    using built = machine({ungrouped: [pci('0000:01:00.0')]});
    const tree = replay(new DirectoryTree(built.root), (recorder) => {
      recorder.text(`${DEVICE}/uevent`);
      rmSync(built.path(DEVICE), {recursive: true});
      recorder.text(`${DEVICE}/uevent`);
    });
    assert.ok(tree.text(`${DEVICE}/uevent`) instanceof SyscallError);
  });

  it('does not know what was not captured, nor what JavaScript objects have by nature', () => {
    const tree = new CaptureTree(emptyCapture('1.0.0', true), 'x');
    for (const path of ['constructor', '__proto__', '/sys']) {
      const answer = tree.text(path);
      assert.ok(answer instanceof SyscallError && answer.errno === constants.errno.ENOENT);
    }
  });
});

describe('a capture file', () => {
  let folder: ReturnType<typeof scratch>;
  made(() => (folder = scratch()));
  const file = (content: string | Buffer): string => {
    const path = folder.path('capture');
    writeFileSync(path, content);
    return path;
  };
  const good = JSON.stringify(emptyCapture('1.0.0', true));

  it('is read as it is and packed, whatever its name', () => {
    assert.equal(openTree(file(good)).origin.kind, 'capture');
    assert.equal(openTree(file(gzipSync(good))).origin.kind, 'capture');
  });

  const bad: [string, string | Buffer, RegExp][] = [
    ['is empty', '', /does not hold JSON/],
    ['is no JSON', 'GROUP  ADDRESS', /does not hold JSON/],
    ['is cut short', good.slice(0, -5), /does not hold JSON/],
    ['is packed and cut short', gzipSync(good).subarray(0, 30), /packed file is damaged/],
    ['is other JSON', '{"schemaVersion": 1}', /is not a capture/],
    ['is a list', '[]', /is not a capture/],
    ['is null', 'null', /is not a capture/],
    ['is of a later format', '{"kvfioCapture": 2}', /format 2, which this version of kvfio does not know/],
    ['has a shelf of the wrong kind', good.replace('"texts":{}', '"texts":[]'), /is not a capture/],
    [
      'has an entry of the wrong kind',
      good.replace('"links":{}', '"links":{"/sys/a":1}'),
      /is not a capture/,
    ],
    [
      'has a fractional errno',
      good.replace('"refusals":{}', '"refusals":{"/sys/a":1.5}'),
      /is not a capture/,
    ],
    ['lacks a shelf', good.replace('"parts":{},', ''), /is not a capture/],
    ['nests without end', '['.repeat(100_000), /does not hold JSON/],
  ];
  for (const [what, content, why] of bad) {
    it(`is refused when it ${what}`, () => {
      assert.throws(
        () => openTree(file(content)),
        (error) => error instanceof Failure && error.exitCode === 2 && why.test(error.why),
      );
    });
  }
});
