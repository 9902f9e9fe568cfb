import assert from 'node:assert/strict';
import {constants} from 'node:os';
import {statSync} from 'node:fs';
import {Failure} from '../../src/failure.js';
import type {HeldFile, VmState} from '../../src/kvm-vfio/vm-state.js';
import {verifyHeld} from '../../src/kvm-vfio/verify.js';
import {Descriptor} from '../../src/linux/descriptor.js';
import {SyscallError} from '../../src/linux/errno.js';
import {KVM_DEV_VFIO_FILE_ADD} from '../../src/linux/ioctl.js';
import {O_RDWR, open} from '../../src/linux/libc.js';
import {Pidfd} from '../../src/linux/proc/pidfd.js';
import {writeCoherencyRecord, readCoherencyRecord} from '../../src/kvm-vfio/coherency-record.js';
import {KVFIO_MARK} from '../../src/vfio/kvfio-mark.js';
import type {Owner} from '../../src/owner/owner.js';

const PATH = '/dev/full';
const DEVICE = 4;

/** This process for an owner, with a kvm-vfio device that behaves as virt/kvm/vfio.c does. */
const owning = (registered: Set<number>, failing?: 'add' | 'delete') => {
  const calls: string[] = [];
  const refused = (code: keyof typeof constants.errno): SyscallError =>
    new SyscallError('model', constants.errno[code]);
  const owner: Owner = {
    pid: process.pid,
    way: 'direct',
    createDevice: () => {
      throw refused('EBUSY');
    },
    setDeviceAttr: (_device, _group, attr, fd) => {
      const action = attr === KVM_DEV_VFIO_FILE_ADD ? 'add' : 'delete';
      calls.push(`${action} ${fd}`);
      if (action === failing) throw refused(action === 'add' ? 'ENOMEM' : 'EIO');
      if (action === 'delete') {
        if (!registered.delete(fd)) throw refused('ENOENT');
      } else if (registered.has(fd)) throw refused('EEXIST');
      else registered.add(fd);
    },
    giveDescriptor: () => {
      throw refused('EPERM');
    },
    closeDescriptor: () => {
      throw refused('EPERM');
    },
    takeDescriptor: (fd) => {
      using self = Pidfd.open(process.pid);
      return self.getfd(fd);
    },
    together: (work) => work(),
    [Symbol.dispose]: () => undefined,
  };
  return {pid: process.pid, open: () => owner, calls};
};

const file = (group: number, fd: number, given: boolean | null): HeldFile =>
  ({
    name: `group ${group}`,
    node: {kind: 'group', group, path: PATH, device: statSync(PATH).rdev},
    fd,
    given,
    registered: null,
    gone: false,
    record: readCoherencyRecord(process.pid, fd),
    verdict: 'not-enforced',
    confidence: 'exact',
    group: {id: group, devices: [{address: '0000:01:00.0', boundToVfio: true}]},
  }) as unknown as HeldFile;

const facts = (held: HeldFile[], several = false): VmState =>
  ({held, several, host: {groups: held.map(({group}) => group)}}) as unknown as VmState;

const failure = (work: () => unknown): Failure => {
  try {
    work();
  } catch (error) {
    if (error instanceof Failure) return error;
    throw error;
  }
  throw new Error('nothing failed');
};

describe('finding out what is registered', () => {
  const marked = (): Descriptor => new Descriptor(open(PATH, O_RDWR | KVFIO_MARK));

  it('leaves all as it was, and notes what KVM was told when it looked', () => {
    using one = marked();
    using two = marked();
    writeCoherencyRecord(one, 'enforced', []);
    const registered = new Set([one.fd]);
    const owner = owning(registered);
    const found = verifyHeld(owner, DEVICE, facts([file(1, one.fd, true), file(2, two.fd, true)]));
    assert.deepEqual(
      found.map((each) => [each.registered, each.record?.verdict]),
      [
        [true, 'not-enforced'],
        [false, 'not-enforced'],
      ],
    );
    assert.deepEqual([...registered], [one.fd]);
    assert.equal(readCoherencyRecord(process.pid, one.fd)?.verdict, 'not-enforced');
  });

  it('keeps the note where all are registered, as KVM did not look', () => {
    using one = marked();
    writeCoherencyRecord(one, 'enforced', []);
    const [found] = verifyHeld(owning(new Set([one.fd])), DEVICE, facts([file(1, one.fd, true)]));
    assert.deepEqual([found?.registered, found?.record?.verdict], [true, 'enforced']);
  });

  it('touches nothing of an owner with several VMs that opened a file itself', () => {
    using one = marked();
    for (const given of [false, null]) {
      const owner = owning(new Set());
      const error = failure(() => verifyHeld(owner, DEVICE, facts([file(1, one.fd, given)], true)));
      assert.deepEqual([error.code, error.exitCode, owner.calls], ['VERIFY_SEVERAL_VMS', 5, []]);
    }
    const owner = owning(new Set());
    verifyHeld(owner, DEVICE, facts([file(1, one.fd, true)], true));
    assert.deepEqual(owner.calls, [`add ${one.fd}`, `delete ${one.fd}`]);
  });

  it('says that a file stays added when it cannot be deleted, and doubts the note', () => {
    using one = marked();
    writeCoherencyRecord(one, 'enforced', []);
    const registered = new Set<number>();
    const error = failure(() =>
      verifyHeld(owning(registered, 'delete'), DEVICE, facts([file(1, one.fd, true)])),
    );
    assert.deepEqual([error.code, error.exitCode, error.errno], ['VERIFY_LEFT_ADDED', 6, 'EIO']);
    assert.match(
      error.message,
      /kvfio added group 1 .* could not delete it again\..*\(EIO\)\. The file stays added\./,
    );
    assert.deepEqual([...registered], [one.fd]);
    assert.equal(readCoherencyRecord(process.pid, one.fd)?.verdict, 'unknown');
  });

  it('says why a file could not be added', () => {
    using one = marked();
    const error = failure(() => verifyHeld(owning(new Set(), 'add'), DEVICE, facts([file(1, one.fd, true)])));
    assert.deepEqual([error.code, error.errno], ['KERNEL_ENOMEM', 'ENOMEM']);
    assert.match(error.message, /kvfio did not determine whether group 1 is registered/);
  });
});
