import type {Device} from '../../iommu/device.js';
import type {Group} from '../../iommu/group.js';
import {isPciBridge} from '../../pci/class.js';

/**
 * The member of a group whose driver has made a device, so that it goes when the driver lets go: Intel's VMD makes a PCI domain
 * below itself (drivers/pci/controller/vmd.c, vmd_remove()), a DPRC of fsl-mc its objects (dprc_remove()). What is behind a
 * bridge stays when the bridge loses its driver. Undefined where there is none.
 */
export const parentInGroup = (
  {path}: Pick<Device, 'path'>,
  {devices}: Pick<Group, 'devices'>,
): Device | undefined =>
  devices.find((other) => path.startsWith(`${other.path}/`) && !isPciBridge(other.classCode));

/** The members that vanish when these lose their drivers. */
export const goesAlong = (lost: readonly Device[], {devices}: Pick<Group, 'devices'>): Device[] =>
  devices.filter((device) => {
    const parent = parentInGroup(device, {devices});
    return parent !== undefined && lost.includes(parent);
  });
