import {setTimeout as sleep} from 'node:timers/promises';
import {Failure} from '../failure.js';
import type {Deadline} from '../linux/deadline.js';
import {SyscallError} from '../linux/errno.js';
import {ProcessLock, whoLocked, type LockHolder} from '../linux/lock/process-lock.js';
import type {ReachedVm} from '../owner/reach-owner.js';

/**
 * Takes the turn at the owner of a VM, having made sure who that is: nothing is changed outside of a turn, and nobody is
 * stopped for a VM that may not be touched.
 *
 * Where several processes may be the owner, each is stopped for a moment to ask it, in a turn at the likeliest only. No two
 * kvfios stop the same one at a time all the same: each locks the memory of a process before (`OwnerProcess`).
 *
 * @returns as {@link takeOwnerLock}
 * @throws {@link Failure}
 */
export const lockOwner = async (vm: ReachedVm, deadline: Deadline): Promise<Disposable | null> => {
  vm.checkTrust();
  for (;;) {
    const {pid} = vm;
    const turn = await takeOwnerLock(pid, deadline);
    try {
      vm.confirmOwner();
      if (vm.pid === pid) return turn;
    } catch (error) {
      turn?.[Symbol.dispose]();
      throw error;
    }
    turn?.[Symbol.dispose]();
  }
};

/**
 * {@link lockOwner} for those who only look: where that cannot be, the likeliest process is taken for the owner.
 */
export const lockOwnerIfPossible = async (vm: ReachedVm, deadline: Deadline): Promise<Disposable | null> => {
  if (!vm.isUndecided()) return null;
  try {
    return await lockOwner(vm, deadline);
  } catch (error) {
    if (error instanceof Failure) return null;
    throw error;
  }
};

/**
 * Keeps all other kvfios from changing anything in the owner of a VM, from the first look at it to the last change.
 *
 * @returns to be disposed of; null when the owner is not to be seen in this /proc, as an agent's may be
 * @throws {@link Failure}: timeout when somebody keeps at it
 */
const takeOwnerLock = async (pid: number, deadline: Deadline): Promise<Disposable | null> => {
  for (;;) {
    try {
      const lock = ProcessLock.tryTake(pid);
      if (lock !== null) return lock;
    } catch (error) {
      if (error instanceof SyscallError && ['ENOENT', 'ESRCH', 'EACCES'].includes(error.code)) return null;
      throw error;
    }
    if (deadline.passed) throw inUse(pid, whoLocked(ProcessLock.pathOf(pid)));
    await sleep(deadline.remaining(10));
  }
};

const inUse = (pid: number, by: LockHolder | null): Failure =>
  new Failure({
    code: 'OWNER_IN_USE',
    kind: 'timeout',
    what: `The VM's owner, process ${pid}, was left alone.`,
    why: `${by === null ? 'Another process' : `Process ${by.pid} (${by.comm === '' ? 'which has ended, and left it to another' : by.comm})`} has its lock (flock on ${ProcessLock.pathOf(pid)}), which a kvfio takes while it changes something in an owner, and did not release it within the time limit.`,
    hint: 'Try again when that is done, give it longer with --timeout, or end that process.',
  });
