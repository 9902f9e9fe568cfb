import type {Group} from './group.js';

/** What VFIO calls each group that it makes itself (vfio_noiommu_group_alloc() in drivers/vfio/vfio.c, vfio_main.c and group.c). */
const MADE_BY_VFIO = 'vfio-noiommu';

/**
 * Whether VFIO has made a group up for a device that has no IOMMU. Its name alone shows it: since Linux 5.16 groups of mediated devices
 * have the same, and groups of real IOMMUs may show no unit.
 */
export const isNoIommu = ({name, devices}: Pick<Group, 'name' | 'devices'>): boolean =>
  name === MADE_BY_VFIO && !hasMediated({devices});

/** Whether no IOMMU is behind a group: one without an IOMMU, or one of mediated devices. */
export const isMadeUp = (group: Pick<Group, 'name' | 'devices'>): boolean =>
  group.name === MADE_BY_VFIO || hasMediated(group);

const hasMediated = ({devices}: Pick<Group, 'devices'>): boolean => devices.some(({bus}) => bus === 'mdev');
