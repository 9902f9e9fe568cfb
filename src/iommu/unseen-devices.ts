import type {Attributes} from '../host/attributes.js';
import {GROUPS, type Group} from './group.js';

/** The PCI and mediated devices of a machine that no group has had so far. */
export class UnseenDevices {
  readonly #attributes: Attributes;
  #left: {bus: string; names: Set<string>}[] | undefined;

  constructor(attributes: Attributes) {
    this.#attributes = attributes;
  }

  /** Gives the groups on, without whose devices it is afterwards. */
  *without(groups: Iterable<Group>): Generator<Group> {
    for (const group of groups) {
      for (const {address} of group.devices) for (const {names} of this.#buses) names.delete(address);
      yield group;
    }
  }

  /** Folders under /sys/devices of those that are in no group. */
  paths(): string[] {
    return this.#buses.flatMap(({bus, names}) => [...names].flatMap((name) => this.#pathOf(bus, name) ?? []));
  }

  /** Listed once the first group has been read, when who helps to read them is at work. */
  get #buses(): {bus: string; names: Set<string>}[] {
    return (this.#left ??= ['/sys/bus/pci/devices', '/sys/bus/mdev/devices'].map((bus) => ({
      bus,
      names: new Set(this.#attributes.names(bus) ?? []),
    })));
  }

  #pathOf(bus: string, name: string): string | null {
    // the group reports a device that is unplugged during the scan, if it had a group
    const path = this.#attributes.resolve(bus, name, 'optional');
    if (path === null) return null;
    // a link has the name of its device (drivers/base/bus.c, bus_add_device)
    if (!path.endsWith(`/${name}`)) {
      this.#attributes.malformed(`${bus}/${name}`, `it links to ${path}, which has another name`);
      return null;
    }
    const group = this.#attributes.linkName(`${path}/iommu_group`);
    if (group === null || this.#isUnreadable(group, name)) return path;
    // plugged in since the groups were listed, or since its own was read
    this.#attributes.missed(path, `it is in IOMMU group ${group} now, and was not met there`);
    return null;
  }

  /** Whether a device was not met in a group because files of the group are unreadable, of which there is a warning. */
  #isUnreadable(group: string, name: string): boolean {
    return [GROUPS, `${GROUPS}/${group}/devices`, `${GROUPS}/${group}/devices/${name}`].some((path) =>
      this.#attributes.failed(path),
    );
  }
}
