import {Failure} from '../../failure.js';
import type {Device} from '../../iommu/device.js';
import type {Group} from '../../iommu/group.js';
import {requireGroups, type Host} from '../../iommu/host.js';
import type {SelectedDevice} from '../../pci/selector/select-device.js';
import {completePciAddress} from '../../pci/address.js';

/** A device that a command is about. */
export interface Member {
  device: Device;
  /** Null when it is in none. */
  group: Group | null;
  /** Whether --device names it; false for one that is meant as a member of its group. */
  named: boolean;
}

/** What the user asked for. */
export interface Request {
  groups: readonly number[];
  /** PCI addresses, with or without their domain. */
  devices: readonly string[];
  /** What these addresses were named by; for the document. */
  selected?: readonly SelectedDevice[];
}

/**
 * The devices of a request, each once, in the order of the machine.
 *
 * @throws {@link Failure} for a group or device that is not there
 */
export const membersOf = (host: Host, {groups, devices}: Request): Member[] => {
  requireGroups(host, groups);
  const addresses = new Set(devices.map((text) => completePciAddress(text) ?? text));
  const all = [
    ...host.groups.flatMap((group) => group.devices.map((device) => ({device, group}))),
    ...host.ungrouped.map((device) => ({device, group: null})),
  ];
  for (const address of addresses) {
    if (!all.some(({device}) => device.bus === 'pci' && device.address === address)) throw noDevice(address);
  }
  return all.flatMap(({device, group}) => {
    const named = device.bus === 'pci' && addresses.has(device.address);
    return named || (group !== null && groups.includes(group.id)) ? [{device, group, named}] : [];
  });
};

const noDevice = (address: string): Failure =>
  new Failure({
    code: 'DEVICE_NOT_FOUND',
    kind: 'notFound',
    what: `There is no PCI device ${address}.`,
    why: 'None of the groups and buses that were looked at has a device of that name.',
    hint: 'Run "kvfio groups" to see the devices there are.',
  });
