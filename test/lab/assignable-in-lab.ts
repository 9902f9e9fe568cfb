/**
 * Runs in the lab: asks the kernel of every IOMMU group whether a VM can have it, by the calls that a VMM makes, and prints the
 * answers as JSON. Groups that nobody uses are left as they were.
 */
import {readdirSync} from 'node:fs';
import {SyscallError} from '../../src/linux/errno.js';
import {VFIO_TYPE1v2_IOMMU} from '../../src/linux/ioctl.js';
import {VfioContainer, VfioGroup} from '../../src/linux/vfio.js';

/** What the kernel answers about a group. */
export interface GroupAnswer {
  group: number;
  /** By VFIO_GROUP_GET_STATUS; null where the group cannot be opened. */
  viable: boolean | null;
  /** The first call that the kernel refuses; null when it refuses none. */
  refused: {call: string; errno: string} | null;
}

const ask = (group: number): GroupAnswer => {
  let call = 'open';
  let viable: boolean | null = null;
  try {
    using file = VfioGroup.open(`/dev/vfio/${group}`);
    using container = VfioContainer.open();
    call = 'VFIO_GROUP_GET_STATUS';
    viable = file.status().viable;
    call = 'VFIO_GROUP_SET_CONTAINER';
    file.setContainer(container);
    call = 'VFIO_SET_IOMMU';
    container.setIommu(VFIO_TYPE1v2_IOMMU);
    return {group, viable, refused: null};
  } catch (error) {
    if (error instanceof SyscallError) return {group, viable, refused: {call, errno: error.code}};
    throw error;
  }
};

const groups = readdirSync('/sys/kernel/iommu_groups').map(Number);
console.log(JSON.stringify(groups.map(ask)));
