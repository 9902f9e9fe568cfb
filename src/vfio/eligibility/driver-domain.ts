import type {Device} from '../../iommu/device.js';
import type {Group} from '../../iommu/group.js';

/**
 * The member of a group whose driver has made the PCI domain that a device is in, as that of Intel's VMD does
 * (drivers/pci/controller/vmd.c): the domain goes when the driver lets go. Undefined where there is none.
 */
export const parentInGroup = (device: Device, {devices}: Pick<Group, 'devices'>): Device | undefined => {
  const [, path] = /^(.*)\/pci[\da-f]{4,}:[\da-f]{2}\/.*[^/]$/.exec(device.path) ?? [];
  return devices.find((other) => other.path === path);
};

/** The members that vanish when these lose their drivers. */
export const goesAlong = (lost: readonly Device[], {devices}: Pick<Group, 'devices'>): Device[] =>
  devices.filter((device) => {
    const parent = parentInGroup(device, {devices});
    return parent !== undefined && lost.includes(parent);
  });
