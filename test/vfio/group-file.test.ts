import assert from 'node:assert/strict';
import {statSync} from 'node:fs';
import type {Group} from '../../src/iommu/group.js';
import {Descriptor} from '../../src/linux/descriptor.js';
import {O_RDWR, open} from '../../src/linux/libc.js';
import {checkGroupFree, openGroup, requireGroupNode} from '../../src/vfio/group-file.js';
import type {GroupNode} from '../../src/vfio/group-node.js';
import {holdersOf} from '../../src/vfio/holders.js';
import {openedByKvfio} from '../../src/vfio/kvfio-mark.js';
import {descriptors} from '../support/descriptors.js';
import {failsWith} from '../vm/vmm.js';

const group = {
  id: 12,
  viable: true,
  blockers: [],
  devices: [
    {address: '0000:01:00.0', driver: 'nvme'},
    {address: '0000:01:00.1', driver: null},
  ],
} as unknown as Group;
const blocked = {...group, viable: false, blockers: [{address: '0000:01:00.0', driver: 'nvme'}]};
const rdevOf = (path: string): number => statSync(path).rdev;
/** A node that is there and is no group: as far as this machine can go without VFIO. */
const node = (path: string, device = rdevOf(path)): GroupNode => ({
  kind: 'group',
  group: 12,
  path,
  device,
});

describe('opening a group', () => {
  it('says which devices would have to be bound where VFIO has none of the group', async () => {
    await failsWith(
      () => requireGroupNode([], group),
      'GROUP_NOT_BOUND',
      3,
      /0000:01:00\.0 is bound to nvme, 0000:01:00\.1 is bound to no driver/,
    );
    assert.equal(requireGroupNode([node('/dev/null')], group).path, '/dev/null');
  });

  it('refuses a node that is missing, or of another device', async () => {
    await failsWith(
      () => openGroup(node('/dev/kvfio-none', 1), group, 'none'),
      'GROUP_NOT_OPENED',
      3,
      /not in this/,
    );
    await failsWith(
      () => openGroup(node('/dev/null', 1), group, 'none'),
      'GROUP_NOT_OPENED',
      5,
      /of another device/,
    );
  });

  it('leaves nothing open when what is there is no group', async () => {
    const before = descriptors();
    await failsWith(() => openGroup(node('/dev/null'), group, 'none'), 'GROUP_NOT_OPENED', 6, /ENOTTY/);
    assert.deepEqual(descriptors(), before);
  });

  it('is refused beforehand when a member is in use, or a process has the group, by name', async () => {
    await failsWith(
      () => {
        checkGroupFree(node('/dev/null'), blocked);
      },
      'GROUP_NOT_VIABLE',
      5,
      /0000:01:00\.0, which is bound to nvme/,
    );
    using held = new Descriptor(open('/dev/full', O_RDWR));
    assert.ok(held.fd > 0);
    await failsWith(
      () => {
        checkGroupFree(node('/dev/full'), group);
      },
      'GROUP_BUSY',
      5,
      new RegExp(`process ${process.pid} \\(`),
    );
  });
});

describe('who has a node open', () => {
  it('is found by device number, and not among those who had it', () => {
    const holds = (): boolean => holdersOf(rdevOf('/dev/full')).holders.some(({pid}) => pid === process.pid);
    {
      using held = new Descriptor(open('/dev/full', O_RDWR));
      assert.ok(held.fd > 0);
      assert.equal(holds(), true);
    }
    assert.equal(holds(), false);
  });
});

describe("kvfio's mark of what it opened", () => {
  it('is seen in the process that has it, and not on other files', () => {
    using plain = new Descriptor(open('/dev/null', O_RDWR));
    using marked = new Descriptor(open('/dev/null', O_RDWR | 0o2000));
    assert.equal(openedByKvfio(process.pid, plain.fd), false);
    assert.equal(openedByKvfio(process.pid, marked.fd), true);
    assert.equal(openedByKvfio(process.pid, 99_999), null);
  });
});
