import type {Origin} from '../host/tree.js';
import type {HostCheck, CheckState, CheckFinding, Purpose} from './check.js';
import {GROUP_CHECKS, obstacleChecks} from './checks/groups.js';
import {IOMMU_CHECKS} from './checks/iommu.js';
import {KVM_CHECKS} from './checks/kvm.js';
import {logChecks} from './checks/log.js';
import {RIGHTS_CHECKS} from './checks/rights.js';
import {KERNEL_QUIRKS} from './checks/kernel-quirks.js';
import {byBootLoader} from './distribution.js';
import {VFIO_CHECKS} from './checks/vfio.js';
import type {Machine} from './machine.js';

/** What `kvfio doctor --json` prints. */
export interface DoctorDocument {
  schemaVersion: 1;
  /** Where the facts come from. */
  origin: Origin;
  /** What the machine was examined for; null for everything. */
  purpose: Purpose | null;
  /** Release of the kernel, and the distribution's name; null where it could not be read. */
  kernel: string | null;
  distribution: string | null;
  checks: CheckResult[];
  /** Whether every check of what is needed passes or is undecided. */
  ready: boolean;
  /** How many checks of what is needed fail. */
  failed: number;
  /** How many checks could not be decided, of what is needed and of the rest. */
  undecided: number;
}

export interface CheckResult extends CheckFinding {
  /** Stable name. */
  id: string;
  title: string;
  /** Title where the check fails. */
  otherwise: string;
  state: CheckState;
  /** Why it matters. */
  matters: string;
  /** Whether the purpose cannot do without. */
  needed: boolean;
}

/** Every check that is made of each machine, in the order in which they are shown. */
export const CHECKS: readonly HostCheck[] = [
  ...KVM_CHECKS,
  ...IOMMU_CHECKS,
  ...VFIO_CHECKS,
  ...RIGHTS_CHECKS,
  ...GROUP_CHECKS,
  ...KERNEL_QUIRKS,
];

/** The same, and a check for each thing of which a machine has several or none. */
const checksOf = (machine: Machine): HostCheck[] =>
  CHECKS.flatMap((check) =>
    check.id === 'assignable' ? [check, ...obstacleChecks(machine), ...logChecks(machine)] : [check],
  );

/** Examines a machine for a purpose or for all of them. Changes nothing. */
export const diagnose = (purpose: Purpose | null, machine: Machine): DoctorDocument => {
  const checks = checksOf(machine).map(({id, title, otherwise, matters, neededFor, look}): CheckResult => {
    const needed = purpose === null ? neededFor.length > 0 : neededFor.includes(purpose);
    const {state, seen, remedy: cure} = look(machine);
    const remedy = cure === null ? null : byBootLoader(machine.distribution, cure);
    return {id, title, otherwise, state, needed, seen, matters, remedy};
  });
  const failed = checks.filter(({state, needed}) => state === 'fail' && needed).length;
  return {
    schemaVersion: 1,
    origin: machine.tree.origin,
    purpose,
    kernel: machine.host.kernel.release,
    distribution: machine.distribution.name,
    checks,
    ready: failed === 0,
    failed,
    undecided: checks.filter(({state}) => state === 'unknown').length,
  };
};
