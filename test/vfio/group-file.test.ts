import assert from 'node:assert/strict';
import {statSync} from 'node:fs';
import {Failure} from '../../src/failure.js';
import {Descriptor} from '../../src/linux/descriptor.js';
import {O_RDWR, open} from '../../src/linux/libc.js';
import {checkGroupFree, openGroup, requireGroupNode} from '../../src/vfio/group-file.js';
import type {GroupNode} from '../../src/vfio/group-node.js';
import {holdersOf} from '../../src/vfio/holders.js';
import {KVFIO_MARK, openedByKvfio} from '../../src/vfio/kvfio-mark.js';
import {descriptors} from '../support/descriptors.js';
import {examinedGroup} from '../support/examined-group.js';
import {pci} from '../support/machine.js';
import {made} from '../support/made.js';
import {ownNode} from '../support/own-node.js';
import {failsWith} from '../vm/vmm.js';

const machine = examinedGroup(12, [
  pci('0000:01:00.0', {unit: 'dmar0', driver: 'nvme'}),
  pci('0000:01:00.1', {unit: 'dmar0'}),
]);
const {group: blocked, examined} = machine;
const group = {...blocked, viable: true, blockers: []};
const rdevOf = (path: string): number => statSync(path).rdev;
/** A node that is there and is no group: as far as this machine can go without VFIO. */
const node = (path: string, device = rdevOf(path)): GroupNode => ({
  kind: 'group',
  group: 12,
  path,
  device,
});

made(() => machine);

describe('opening a group', () => {
  it('says which devices would have to be bound where VFIO has none of the group', async () => {
    await failsWith(
      () => requireGroupNode([], blocked, examined),
      'GROUP_NOT_BOUND',
      5,
      /0000:01:00\.0 is bound to nvme/,
    );
    assert.equal(requireGroupNode([node('/dev/null')], group, examined).path, '/dev/null');
  });

  it('refuses a node that is missing, or of another device', async () => {
    await failsWith(
      () => openGroup(node('/dev/kvfio-none', 1), {group, examined, container: 'none'}),
      'GROUP_NOT_OPENED',
      3,
      /does not have the node/,
    );
    await failsWith(
      () => openGroup(node('/dev/null', 1), {group, examined, container: 'none'}),
      'GROUP_NOT_OPENED',
      5,
      /of another device/,
    );
  });

  it('leaves nothing open when what is there is no group', async () => {
    const before = descriptors();
    await failsWith(
      () => openGroup(node('/dev/null'), {group, examined, container: 'none'}),
      'GROUP_NOT_OPENED',
      6,
      /ENOTTY/,
    );
    assert.deepEqual(descriptors(), before);
  });

  it('is refused beforehand when a member is in use, or a process has the group, by name', async () => {
    await failsWith(
      () => {
        checkGroupFree(node('/dev/null'), blocked, examined);
      },
      'GROUP_NOT_VIABLE',
      5,
      /^0000:01:00\.0 is bound to nvme\.$/,
    );
    using own = ownNode();
    using held = new Descriptor(open(own.path, O_RDWR));
    assert.ok(held.fd > 0);
    await failsWith(
      () => {
        checkGroupFree(node(own.path), group, examined);
      },
      'GROUP_BUSY',
      5,
      new RegExp(`process ${process.pid} \\(`),
    );
  });
});

describe('the hint of a refusal', () => {
  const hintOf = (work: () => unknown): string => {
    try {
      work();
    } catch (error) {
      if (error instanceof Failure) return error.hint;
      throw error;
    }
    return '';
  };

  it('names the command that gives the drivers in the way to vfio-pci', () => {
    const hint = hintOf(() => {
      checkGroupFree(node('/dev/null'), blocked, examined);
    });
    assert.match(hint, /^Run "kvfio bind --group 12"/);
    assert.match(
      hintOf(() => requireGroupNode([], blocked, examined)),
      /^Run "kvfio bind --group 12"/,
    );
  });

  it('names the command that frees a group which kvfio has given to a process, and another where it has not', () => {
    using own = ownNode();
    const busy = (): string =>
      hintOf(() => {
        checkGroupFree(node(own.path), group, examined);
      });
    {
      using held = new Descriptor(open(own.path, O_RDWR));
      assert.ok(held.fd > 0);
      assert.match(busy(), new RegExp(`"kvfio attach --pid ${process.pid} --group 12"`));
    }
    using given = new Descriptor(open(own.path, O_RDWR | KVFIO_MARK));
    assert.ok(given.fd > 0);
    assert.match(busy(), new RegExp(`^Run "kvfio detach --pid ${process.pid} --group 12", which frees it`));
  });
});

describe('who has a node open', () => {
  it('is found by device number, and not among those who had it', () => {
    using own = ownNode();
    const holds = (): boolean => holdersOf(own.device).holders.some(({pid}) => pid === process.pid);
    {
      using held = new Descriptor(open(own.path, O_RDWR));
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
