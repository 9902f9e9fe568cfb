import {Failure} from '../../failure.js';
import type {Group} from '../../iommu/group.js';
import type {Call, CheckId, Examined} from './check.js';
import {assess, type Obstacle} from './assess.js';
import {obstacleWords} from './kernel-answer.js';

/** What the kernel refuses before a VM has a device; what comes later shows in the VM only. */
const REFUSED_BY_KERNEL: readonly Call[] = [
  'VFIO_GROUP_SET_CONTAINER',
  'VFIO_SET_IOMMU',
  'VFIO_GROUP_GET_DEVICE_FD',
  'VFIO_DEVICE_BIND_IOMMUFD',
];

/** Checks that fail because drivers of the host have a part of the group. */
export const OTHER_OWNERS: readonly CheckId[] = ['drivers', 'physical-function', 'driver-domain'];

/**
 * Refuses a group, or a device of it, that VFIO has and that the kernel refuses to a VMM for certain: to tell KVM of it would
 * lead to nothing.
 *
 * @param address the device, where it is used by its cdev
 * @throws {@link Failure}
 */
export const requireAssignable = (host: Examined, group: Group, address: string | null = null): void => {
  const refusals = assess(usedBy(host, address), group).group.obstacles.filter(
    ({call, certain}) => certain && REFUSED_BY_KERNEL.includes(call),
  );
  if (refusals.length > 0) throw notAssignable(group, refusals, address);
};

/** What the kernel refuses a VMM, with the call and its answer. */
const notAssignable = ({id}: Group, obstacles: readonly Obstacle[], address: string | null): Failure => {
  const [first] = obstacles;
  const {why, hint} = obstacleWords(obstacles);
  const who = address === null ? `group ${id}` : `${address} of group ${id}`;
  return new Failure({
    code: first !== undefined && OTHER_OWNERS.includes(first.check) ? 'GROUP_NOT_VIABLE' : 'NOT_ASSIGNABLE',
    kind: 'refused',
    what: `A VM cannot have ${who}: ${first?.call ?? ''} would be answered ${first?.errno ?? ''}${first?.exact === false ? ', or another call by newer code of the vendor' : ''}.`,
    why,
    hint,
  });
};

/** A machine whose group is used, or a device of it by its cdev. */
const usedBy = (host: Examined, address: string | null): Examined =>
  address === null ? host : {...host, by: 'cdev'};

/** The obstacle that would keep a VM from a group, or a device of it, even if VFIO had every member that it can take; null if none is certain. */
export const whyBindingIsUseless = (
  host: Examined,
  group: Group,
  address: string | null = null,
): ReturnType<typeof obstacleWords> | null => {
  const {group: whole, devices} = assess(usedBy(host, address), group);
  const then = address === null ? whole.afterBind : (devices.get(address)?.afterBind ?? 'unknown');
  if (then !== 'no') return null;
  const left = whole.obstacles.filter(
    ({check, certain, cure, devices: about}) =>
      certain &&
      check !== 'bound' &&
      // what kvfio binds is cured by that
      (check !== 'drivers' || cure?.includes('"kvfio bind') === false) &&
      (address === null || about.length === 0 || about.includes(address)),
  );
  return left.length === 0 ? null : obstacleWords(left);
};
