import assert from 'node:assert/strict';
import {mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {DirectoryTree} from '../../src/host/directory-tree.js';
import {readCdevNodes} from '../../src/vfio/cdev-node.js';
import {fileName, readFileNodes} from '../../src/vfio/file-node.js';

describe('the nodes of VFIO devices', () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'kvfio-test-'));
    mkdirSync(join(root, 'sys/class/vfio-dev'), {recursive: true});
  });
  afterEach(() => {
    rmSync(root, {recursive: true});
  });
  /** A device that VFIO has, as the kernel lays it out; `dev` is missing on kernels without cdevs. */
  const put = (address: string, name: string, dev: string | null, group: string | null): void => {
    const device = `devices/pci0000:00/${address}`;
    mkdirSync(join(root, 'sys', device, 'vfio-dev', name), {recursive: true});
    if (dev !== null) writeFileSync(join(root, 'sys', device, 'vfio-dev', name, 'dev'), dev);
    if (group !== null)
      symlinkSync(`../../../kernel/iommu_groups/${group}`, join(root, 'sys', device, 'iommu_group'));
    symlinkSync(`../../${device}/vfio-dev/${name}`, join(root, 'sys/class/vfio-dev', name));
  };

  it('are known by the address of the device, with its group', () => {
    put('0000:07:00.0', 'vfio0', '249:0\n', '12');
    put('0000:01:00.0', 'noiommu-vfio300', '249:300\n', null);
    assert.deepEqual(readCdevNodes(new DirectoryTree(root)), [
      {
        kind: 'cdev',
        address: '0000:01:00.0',
        group: null,
        path: '/dev/vfio/devices/noiommu-vfio300',
        device: 0x10f92c,
      },
      {kind: 'cdev', address: '0000:07:00.0', group: 12, path: '/dev/vfio/devices/vfio0', device: 0xf900},
    ]);
  });

  it('are none on a kernel that has VFIO devices but no nodes of them', () => {
    put('0000:07:00.0', 'vfio0', null, '12');
    assert.deepEqual(readCdevNodes(new DirectoryTree(root)), []);
  });

  it('are none without VFIO', () => {
    rmSync(join(root, 'sys/class'), {recursive: true});
    assert.deepEqual(readCdevNodes(new DirectoryTree(root)), []);
  });

  it('come after those of groups, and are named so that no two are the same', () => {
    put('0000:07:00.0', 'vfio0', '249:0\n', '12');
    mkdirSync(join(root, 'sys/class/vfio/12'), {recursive: true});
    writeFileSync(join(root, 'sys/class/vfio/12/dev'), '250:0\n');
    assert.deepEqual(readFileNodes(new DirectoryTree(root)).map(fileName), ['group 12', 'cdev 0000:07:00.0']);
  });
});
