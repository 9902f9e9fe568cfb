import assert from 'node:assert/strict';
import {mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {DirectoryTree} from '../../src/host/directory-tree.js';
import {parseDeviceNumber, readGroupNodes} from '../../src/vfio/group-node.js';

describe('the nodes of VFIO groups', () => {
  let root: string;
  const put = (name: string, dev: string): void => {
    mkdirSync(join(root, 'sys/class/vfio', name), {recursive: true});
    writeFileSync(join(root, 'sys/class/vfio', name, 'dev'), dev);
  };
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'kvfio-test-'));
  });
  afterEach(() => {
    rmSync(root, {recursive: true});
  });

  it('are those of the class, whatever their minors, with the word noiommu where VFIO puts it', () => {
    put('12', '244:0\n');
    put('noiommu-3', '244:300\n');
    assert.deepEqual(readGroupNodes(new DirectoryTree(root)), [
      {kind: 'group', group: 3, path: '/dev/vfio/noiommu-3', device: 0x10f42c},
      {kind: 'group', group: 12, path: '/dev/vfio/12', device: 0xf400},
    ]);
  });

  it('are none without VFIO, and what is no group is none', () => {
    assert.deepEqual(readGroupNodes(new DirectoryTree(root)), []);
    put('vfio', '10:196\n');
    put('7', 'nonsense\n');
    assert.deepEqual(readGroupNodes(new DirectoryTree(root)), []);
  });

  it('have device numbers as stat has them', () => {
    assert.equal(parseDeviceNumber('1:3\n'), statSync('/dev/null').rdev);
    assert.equal(parseDeviceNumber('1:3:5'), null);
  });
});
