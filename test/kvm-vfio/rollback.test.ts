import assert from 'node:assert/strict';
import {constants} from 'node:os';
import {Failure} from '../../src/failure.js';
import {apply, type Outcome} from '../../src/kvm-vfio/apply.js';
import {attachPlan, detachPlan, type Plan, type PlannedFile} from '../../src/kvm-vfio/plan.js';
import {Descriptor} from '../../src/linux/descriptor.js';
import {SyscallError} from '../../src/linux/errno.js';
import {KVM_DEV_VFIO_FILE_ADD} from '../../src/linux/ioctl.js';
import {O_RDWR, open} from '../../src/linux/libc.js';
import type {Owner} from '../../src/owner/owner.js';
import {unanswered, unread} from '../../src/owner/inject/refusals.js';
import {AnswerUnread, NoAnswer} from '../../src/owner/inject/thread-errors.js';
import {descriptors} from '../support/descriptors.js';

const refused = (code: keyof typeof constants.errno): SyscallError =>
  new SyscallError('model', constants.errno[code]);

/** An owner whose kernel behaves as virt/kvm/vfio.c does, and which fails from one of its calls on, for so many calls. */
class ModelOwner implements Owner {
  readonly pid = 1;
  readonly way = 'inject';
  /** What each descriptor is. */
  readonly fds = new Map<number, string>([[3, 'vm']]);
  readonly registered = new Set<number>();
  calls = 0;
  /** As a thread that does not come back from this call of it, and then makes no other. */
  hangsAt = Infinity;
  /** It makes this call, and what the kernel answered cannot be read. */
  unreadAt = Infinity;
  readonly #failing: {from: number; count: number};
  #next = 10;

  constructor(failing = {from: Infinity, count: 0}) {
    this.#failing = failing;
  }

  createDevice(vmFd: number): number {
    this.#call();
    if (this.fds.get(vmFd) !== 'vm') throw refused('EBADF');
    if (this.#device() !== undefined) throw refused('EBUSY');
    return this.#opened('device');
  }

  setDeviceAttr(deviceFd: number, _group: number, attr: number, fd: number): void {
    this.#call();
    if (this.fds.get(deviceFd) !== 'device' || !this.fds.has(fd)) throw refused('EBADF');
    if (attr === KVM_DEV_VFIO_FILE_ADD) {
      if (this.registered.has(fd)) throw refused('EEXIST');
      this.registered.add(fd);
    } else if (!this.registered.delete(fd)) throw refused('ENOENT');
  }

  giveDescriptor(): number {
    this.#call();
    return this.#opened('file');
  }

  closeDescriptor(fd: number): void {
    this.#call();
    if (this.fds.get(fd) === 'device') this.registered.clear();
    if (!this.fds.delete(fd)) throw refused('EBADF');
  }

  takeDescriptor(): Descriptor {
    throw refused('EPERM');
  }

  together<T>(work: () => T): T {
    return work();
  }

  [Symbol.dispose](): void {
    // has nothing
  }

  /** All that matters, whatever the numbers. */
  get state(): string {
    return JSON.stringify([[...this.fds.values()].sort(), this.registered.size]);
  }

  #device(): number | undefined {
    return [...this.fds].find(([, kind]) => kind === 'device')?.[0];
  }

  #opened(kind: string): number {
    this.#next += 1;
    this.fds.set(this.#next, kind);
    return this.#next;
  }

  #call(): void {
    this.calls += 1;
    if (this.calls >= this.hangsAt) throw unanswered({pid: 1, comm: ''}, new NoAnswer('ioctl(KVM)'), 5);
    if (this.calls === this.unreadAt)
      throw unread({pid: 1, comm: ''}, new AnswerUnread('ioctl(KVM)', refused('ENOMEM')));
    const {from, count} = this.#failing;
    if (this.calls >= from && this.calls < from + count) throw refused('ENOMEM');
  }
}

const file = (group: number, fd: number | null): PlannedFile => ({
  name: `group ${group}`,
  node: {kind: 'group', group, path: '/dev/null', device: 0},
  fd,
  given: false,
  container: 'none',
});

const run = (owner: ModelOwner, plan: Plan): Outcome =>
  apply(plan, {owner, vmFd: 3, open: ({node}) => new Descriptor(open(node.path, O_RDWR))});

/** An owner that has two groups registered and one that is not, and what detaches all three. */
const held = (failing?: {from: number; count: number}): {owner: ModelOwner; plan: Plan} => {
  const owner = new ModelOwner(failing);
  for (const [fd, kind] of [
    [4, 'device'],
    [5, 'file'],
    [6, 'file'],
    [7, 'file'],
  ] as const)
    owner.fds.set(fd, kind);
  owner.registered.add(5).add(7);
  return {owner, plan: detachPlan({device: 4, files: [file(1, 5), file(2, 6), file(3, 7)]}, false)};
};

const attaching = (failing?: {from: number; count: number}): {owner: ModelOwner; plan: Plan} => ({
  owner: new ModelOwner(failing),
  plan: attachPlan({device: null, files: [file(1, null), file(2, null), file(3, null)]}),
});

describe('several groups are all or none', () => {
  for (const [name, situation] of [
    ['attached', attaching],
    ['detached', held],
  ] as const) {
    it(`when they are ${name}, whichever call fails`, () => {
      const whole = situation();
      assert.equal(run(whole.owner, whole.plan).changed, true);
      for (let from = 1; from <= whole.owner.calls; from += 1) {
        const {owner, plan} = situation({from, count: 1});
        const before = [owner.state, descriptors()];
        assert.throws(
          () => run(owner, plan),
          (error) => {
            assert.ok(error instanceof Failure);
            assert.equal(error.errno, 'ENOMEM');
            assert.equal(error.exitCode, from === 1 ? 6 : 9, error.message);
            return true;
          },
        );
        assert.deepEqual([owner.state, descriptors()], before, `call ${from}`);
      }
    });
  }

  it('unless a call does not come back, of which what was done before is listed as left', () => {
    for (const [at, code, left] of [
      [1, 'OWNER_NO_ANSWER', /device was not created yet, and may still be\. Its thread/],
      [
        2,
        'ROLLBACK_INCOMPLETE',
        /handed over yet, and may still be\..*Left to do: close the kvm-vfio device/,
      ],
      [3, 'ROLLBACK_INCOMPLETE', /Left to do: close .*; close the kvm-vfio device/],
    ] as const) {
      const {owner, plan} = attaching();
      owner.hangsAt = at;
      assert.throws(
        () => run(owner, plan),
        (error) => {
          assert.ok(error instanceof Failure);
          assert.deepEqual([error.code, error.exitCode], [code, 124]);
          assert.match(error.message, left);
          return true;
        },
      );
    }
  });

  it('unless the answer to a call cannot be read, which is listed as to be looked at', () => {
    for (const [at, left] of [
      [
        1,
        /^kvfio does not know what its last call .* Left to do: see whether this was done: create the kvm-vfio/,
      ],
      [
        2,
        /Left to do: see whether this was done: hand the descriptor of group 1 to the owner\. Undone: close the kvm/,
      ],
    ] as const) {
      const {owner, plan} = attaching();
      owner.unreadAt = at;
      assert.throws(
        () => run(owner, plan),
        (error) => {
          assert.ok(error instanceof Failure);
          assert.deepEqual([error.code, error.exitCode], ['ROLLBACK_INCOMPLETE', 6]);
          assert.match(error.message, left);
          return true;
        },
      );
    }
  });

  it('but for a new device, which stays open where closing it would free nothing', () => {
    const {files} = attaching().plan;
    const plan = attachPlan({device: null, files, closeReleases: false});
    const whole = new ModelOwner();
    run(whole, plan);
    // the first call creates the device
    for (let from = 2; from <= whole.calls; from += 1) {
      const owner = new ModelOwner({from, count: 1});
      assert.throws(
        () => run(owner, plan),
        (error) => {
          assert.ok(error instanceof Failure);
          assert.deepEqual([error.errno, error.exitCode], ['ENOMEM', 9]);
          assert.match(error.message, /All but the kvm-vfio device is as it was before\./);
          assert.match(error.message, /stays open in the owner, descriptor 11:/);
          assert.doesNotMatch(error.message, /close the kvm-vfio device/);
          return true;
        },
      );
      assert.deepEqual(
        [...owner.fds],
        [
          [3, 'vm'],
          [11, 'device'],
        ],
        `call ${from}`,
      );
      assert.equal(owner.registered.size, 0);
    }
  });

  it('and what is left is named when the owner cannot be made to undo it', () => {
    const {owner, plan} = attaching({from: 4, count: Infinity});
    assert.throws(
      () => run(owner, plan),
      (error) => {
        assert.ok(error instanceof Failure);
        assert.deepEqual([error.code, error.exitCode], ['ROLLBACK_INCOMPLETE', 6]);
        assert.match(
          error.message,
          /Left to do: delete group 1; close the descriptor of group 1 in the owner; close the kvm-vfio device\./,
        );
        return true;
      },
    );
  });

  it('and one that is so already is no obstacle', () => {
    const {owner, plan} = held();
    const outcome = run(owner, plan);
    assert.deepEqual(
      [...outcome.files.values()].map((each) => each.outcome),
      ['deleted', 'absent', 'deleted'],
    );
    assert.equal(owner.registered.size, 0);
  });
});
