import assert from 'node:assert/strict';
import {statSync} from 'node:fs';
import {readHoldings} from '../../src/kvm-vfio/holdings.js';
import {Descriptor} from '../../src/linux/descriptor.js';
import {O_RDWR, open} from '../../src/linux/libc.js';
import {Pidfd} from '../../src/linux/proc/pidfd.js';
import type {FileNode} from '../../src/vfio/file-node.js';
import type {ReachedVm} from '../../src/owner/reach-owner.js';
import {needs, VICTIM} from '../support/needs.js';

const PATH = '/dev/full';
const device = statSync(PATH).rdev;
const cdev: FileNode = {kind: 'cdev', address: '0000:07:00.0', group: 12, path: PATH, device};
const group: FileNode = {kind: 'group', group: 12, path: PATH, device};

/** This process for a VM's owner, with nodes that are none of VFIO's. */
const held = (node: FileNode): [string, number][] =>
  readHoldings({pid: process.pid, agent: null} as ReachedVm, [node]).files.map(({name, fd}) => [name, fd]);

const opened = (): Descriptor => new Descriptor(open(PATH, O_RDWR));
const duplicate = ({fd}: Descriptor): Descriptor => {
  using self = Pidfd.open(process.pid);
  return self.getfd(fd);
};

describe('what the owner of a VM has open', () => {
  before(function () {
    needs(this, ...VICTIM);
  });

  it('is one file for each open of a device, however many descriptors it has', () => {
    using first = opened();
    assert.deepEqual(held(cdev), [['cdev 0000:07:00.0', first.fd]]);
    using again = duplicate(first);
    assert.ok(again.fd !== first.fd);
    assert.deepEqual(held(cdev), [['cdev 0000:07:00.0', first.fd]]);
    using second = opened();
    assert.deepEqual(held(cdev), [
      [`cdev 0000:07:00.0 (descriptor ${first.fd})`, first.fd],
      [`cdev 0000:07:00.0 (descriptor ${second.fd})`, second.fd],
    ]);
  });

  it('is one file for a group, which can be open only once', () => {
    using first = opened();
    using again = duplicate(first);
    assert.deepEqual(held(group), [['group 12', Math.min(first.fd, again.fd)]]);
  });
});
