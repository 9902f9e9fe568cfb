import type {CoherencyRule} from '../../iommu/coherency-rule.js';
import type {Verdict} from '../../iommu/snoop-control.js';
import {groupCoherency, type GroupContainer} from './enforced-coherent.js';

/** A VFIO container (drivers/vfio/container.c), with the type 1 IOMMU driver or with none yet. */
export class ContainerModel {
  readonly groups = new Set<GroupModel<unknown>>();
  #driver = false;

  get hasDriver(): boolean {
    return this.#driver;
  }

  /** VFIO_SET_IOMMU (vfio_ioctl_set_iommu). */
  setIommu(): 'done' | 'EINVAL' {
    if (this.groups.size === 0 || this.#driver) return 'EINVAL';
    this.#driver = true;
    return 'done';
  }

  /** The IOMMU driver goes with the last group (vfio_group_detach_container). */
  left(group: GroupModel<unknown>): void {
    this.groups.delete(group);
    if (this.groups.size === 0) this.#driver = false;
  }
}

/**
 * A VFIO group (drivers/vfio/group.c): there is one while VFIO drivers have devices of an IOMMU group. With its last
 * device it dies, and files that are open on it lead nowhere; devices that come back make another one, which has the
 * same number and a file of its own.
 *
 * KVM holds a file of it, which neither keeps devices from leaving nor hears of it.
 */
export class GroupModel<D> {
  /** The devices that VFIO drivers have now, each with what its IOMMU does for it. */
  readonly members = new Map<D, Verdict>();
  readonly #domain: Verdict;
  #container: ContainerModel | null = null;

  /** @param domain - what an IOMMU domain with all devices of the IOMMU group does */
  constructor(domain: Verdict) {
    this.#domain = domain;
  }

  /** Whether its last device has left. */
  get dead(): boolean {
    return this.members.size === 0;
  }

  get place(): GroupContainer {
    if (this.#container === null) return 'none';
    return this.#container.hasDriver ? 'type1' : 'no-driver';
  }

  /** A VFIO driver takes a device (vfio_device_set_group). */
  plug(device: D, verdict: Verdict): void {
    this.members.set(device, verdict);
  }

  /** A device leaves its VFIO driver, or the machine (vfio_device_group_unregister, vfio_device_remove_group). */
  unplug(device: D): void {
    this.members.delete(device);
    if (this.dead) this.leaveContainer();
  }

  /** VFIO_GROUP_SET_CONTAINER of a viable group (vfio_group_ioctl_set_container). */
  setContainer(container: ContainerModel): 'done' | 'EINVAL' | 'ENODEV' {
    if (this.#container !== null) return 'EINVAL';
    if (this.dead) return 'ENODEV';
    this.#container = container;
    container.groups.add(this);
    return 'done';
  }

  /** VFIO_GROUP_UNSET_CONTAINER (vfio_group_ioctl_unset_container). */
  unsetContainer(): 'done' | 'EINVAL' {
    if (this.#container === null) return 'EINVAL';
    this.leaveContainer();
    return 'done';
  }

  /** VFIO_GROUP_GET_STATUS of a viable group (vfio_group_ioctl_get_status). */
  status(): {containerSet: boolean} | 'ENODEV' {
    return this.dead ? 'ENODEV' : {containerSet: this.#container !== null};
  }

  /** The container's last reference is gone, or that to the group's file (vfio_group_fops_release). */
  leaveContainer(): void {
    this.#container?.left(this);
    this.#container = null;
  }

  /** VFIO's answer to KVM about it (vfio_file_enforced_coherent). */
  coherency(rule: CoherencyRule): Verdict {
    const verdict = rule === 'devices' ? all(this.members.values()) : this.#domainsOfContainer();
    return groupCoherency({snoopControl: {verdict, confidence: 'exact'}}, rule, this.place).verdict;
  }

  #domainsOfContainer(): Verdict {
    return all([...(this.#container?.groups ?? [])].map((group) => group.#domain));
  }
}

/** Joins verdicts: one that is not enforced decides. Without any, the answer is enforced. */
const all = (verdicts: Iterable<Verdict>): Verdict => {
  const each = [...verdicts];
  if (each.includes('not-enforced')) return 'not-enforced';
  return each.includes('unknown') ? 'unknown' : 'enforced';
};
