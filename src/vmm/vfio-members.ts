import {Failure} from '../failure.js';
import type {Host} from '../iommu/host.js';
import {requireGroups} from '../iommu/host.js';

/**
 * The PCI devices of groups that drivers of VFIO have, by address, in the order of the groups that were asked for.
 *
 * @throws {@link Failure} for a group that is not there, or that VFIO has nothing of
 */
export const vfioMembers = (host: Host, groups: readonly number[]): string[] => {
  requireGroups(host, groups);
  return [...new Set(groups)].flatMap((id) => {
    const devices = host.groups.find((group) => group.id === id)?.devices ?? [];
    const members = devices.filter(({bus, boundToVfio}) => bus === 'pci' && boundToVfio);
    if (members.length === 0) throw notBound(id);
    return members.map(({address}) => address);
  });
};

const notBound = (group: number): Failure =>
  new Failure({
    code: 'GROUP_NOT_BOUND',
    kind: 'refused',
    what: `A VMM cannot get group ${group}.`,
    why: 'No driver of VFIO has a PCI device of it.',
    hint: `Run "kvfio bind --group ${group}" first.`,
  });
