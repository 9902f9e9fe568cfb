import assert from 'node:assert/strict';
import {KVM_DEV_TYPE_VFIO} from '../../../src/linux/ioctl.js';
import {InjectedOwner} from '../../../src/owner/inject/injected-owner.js';
import {STRIDE} from '../../support/pace.js';
import {runChild, type Task} from './inject-child.js';
import type {Arena, Victim} from './victim.js';

/** Calls that the kernel fails with EINTR when a process is stopped, before kvfio can do anything about it. */
const FAIL_WHEN_STOPPED = ['epoll', 'sigwait'];

let sweeps = 0;

/**
 * Lets kvfio die after its first request, its second, and so on, each time with another victim. At a smaller scale it dies
 * after some of them, and after others in the next sweep.
 *
 * @param prepare - brings about what the work needs
 * @returns how many requests the work has
 */
export const sweep = async (
  arena: Arena,
  args: string[],
  work: Task['work'],
  prepare: (owner: InjectedOwner, vmFd: number) => Partial<Task>,
  program = 'victim',
): Promise<number> => {
  sweeps += 1;
  for (let dieAfter = 1 + (sweeps % STRIDE); ; dieAfter += STRIDE) {
    const victim = await arena.victim(args, {program});
    const {vmFd} = victim.report;
    const before = victim.descriptors();
    const task = prepared(victim, vmFd, prepare);
    const {requests, failure} = await runChild({pid: victim.pid, vmFd, work, dieAfter, ...task});
    assert.equal(failure, undefined, JSON.stringify(failure));
    await victim.isWell();
    if (!FAIL_WHEN_STOPPED.includes(args[0] ?? '')) assert.equal(victim.report.interrupted, 0);
    await tidy(victim, before);
    assert.equal(victim.report.interrupted > 1, false);
    victim.kill();
    if (requests !== undefined) return requests.length;
  }
};

const prepared = (
  victim: Victim,
  vmFd: number,
  prepare: (owner: InjectedOwner, vmFd: number) => Partial<Task>,
): Partial<Task> => {
  using owner = InjectedOwner.open(victim.pid);
  return prepare(owner, vmFd);
};

/**
 * Looks at what a killed kvfio left behind, and has the next one remove it: a device that works, a descriptor that was
 * given, and at most one socket of a hand-over.
 */
export const tidy = async (victim: Victim, before: string[]): Promise<void> => {
  const {vmFd} = victim.report;
  using owner = InjectedOwner.open(victim.pid);
  owner.together(() => undefined); // closes the socket
  const left = victim.descriptors().filter((line) => !before.includes(line));
  const found = (link: string): number[] =>
    left.filter((line) => line.endsWith(` ${link}`)).map((line) => Number(line.split(' ', 1)[0]));
  const devices = found('anon_inode:kvm-vfio');
  const files = found('/dev/null');
  const sockets = left
    .filter((line) => / socket:\[\d+\]$/.test(line))
    .map((line) => Number(line.split(' ', 1)[0]));
  assert.ok(devices.length <= 1 && files.length <= 1 && sockets.length <= 1, left.join(', '));
  assert.equal(devices.length + files.length + sockets.length, left.length, left.join(', '));

  const device = devices[0] ?? owner.createDevice(vmFd, KVM_DEV_TYPE_VFIO);
  assert.throws(
    () => {
      owner.setDeviceAttr(device, 1, 1, 0);
    },
    {code: 'EINVAL'},
  );
  owner.together(() => {
    for (const fd of [device, ...files, ...sockets]) owner.closeDescriptor(fd);
  });
  assert.deepEqual(victim.descriptors(), before);
  await victim.isWell();
};
