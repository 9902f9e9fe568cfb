import type {Warning} from '../host/attributes.js';
import type {Origin} from '../host/tree.js';
import {countsOf, machineDifference, isNone, type Counts, type Difference} from './difference.js';
import type {ComparedMachine} from './machine.js';

/** One of the machines that are compared. */
export interface MachineSummary {
  origin: Origin;
  /** Release of its kernel; null when it could not be read. */
  kernel: string | null;
  groups: number;
  devices: number;
  /** Why it has no groups; null when it has some. */
  noGroups: string | null;
}

/** What `kvfio diff A B --json` prints. */
export interface DiffDocument extends Difference {
  schemaVersion: 1;
  a: MachineSummary;
  b: MachineSummary;
  /** Whether A is the machine that B is expected to be. */
  expected: boolean;
  /** Whether nothing differs. */
  same: boolean;
  counts: Counts;
  /** What could not be read of either. */
  warnings: (Warning & {machine: 'a' | 'b'})[];
}

export const diffDocument = (
  a: ComparedMachine,
  b: ComparedMachine,
  {expected}: {expected: boolean},
): DiffDocument => {
  const difference = machineDifference(a, b);
  return {
    schemaVersion: 1,
    a: summaryOf(a),
    b: summaryOf(b),
    expected,
    same: isNone(difference),
    counts: countsOf(difference),
    ...difference,
    warnings: [
      ...a.warnings.map((warning) => ({machine: 'a' as const, ...warning})),
      ...b.warnings.map((warning) => ({machine: 'b' as const, ...warning})),
    ],
  };
};

export const summaryOf = ({origin, kernel, groups, devices, noGroups}: ComparedMachine): MachineSummary => ({
  origin,
  kernel: kernel.release,
  groups: groups.length,
  devices: devices.length,
  noGroups,
});
