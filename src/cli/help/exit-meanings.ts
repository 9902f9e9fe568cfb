import type {FailureKind} from '../../failure.js';

/** What the exit codes of failure.ts mean, in words that the man page has. */
export const EXIT_MEANINGS: Record<FailureKind, string> = {
  bug: 'a bug in kvfio',
  usage: 'usage: unknown flag, bad value',
  notFound: 'not found: no such group, device, VM or file',
  permission: 'permission: the message says how to get it',
  refused: 'refused by a guard of kvfio',
  kernelRefused: 'the kernel refused: its error by name',
  checkFailed: 'a check failed',
  cannotDecide: 'cannot be measured or decided here',
  rolledBack: 'failed half-way and rolled back',
  timeout: 'a time limit ran out',
};
