import type {Origin} from '../linux/host-tree.js';
import type {Warning} from './attributes.js';
import type {Device} from './device.js';
import {explainGroup, explainUngrouped} from './explain.js';
import type {Group} from './group.js';
import type {Host} from './host.js';
import type {Kernel} from './kernel.js';
import type {NoGroups} from './no-groups.js';
import type {Unit} from './unit.js';

/** A device, and whether the filters of the call select it. */
export type ListedDevice = Device & {matched: boolean};

/** A device in no group. */
export type UngroupedDevice = ListedDevice & {
  /** Paragraphs for people; null unless asked for. */
  explanation: string[] | null;
};

/** A group with all its devices: filters never make a group look smaller than it is. */
export type ListedGroup = Omit<Group, 'devices'> & {
  devices: ListedDevice[];
  /** Paragraphs for people; null unless asked for. */
  explanation: string[] | null;
};

/** What `kvfio groups --json` prints. */
export interface GroupsDocument {
  schemaVersion: 1;
  /** The machine that was read. */
  origin: Origin;
  kernel: Kernel;
  /** Every IOMMU unit of the machine. */
  units: Unit[];
  /** Groups with at least one device that is selected. */
  groups: ListedGroup[];
  /** Selected devices that are in no group. */
  ungrouped: UngroupedDevice[];
  /** Why the machine has no groups; null when it has some. */
  noGroups: NoGroups | null;
  warnings: Warning[];
}

/** Makes the document from what was read and a test for the devices that are wanted, or null for all. */
export const groupsDocument = (
  host: Host,
  wanted: ((device: Device) => boolean) | null,
  {explain}: {explain: boolean},
): GroupsDocument => {
  const listed = (device: Device): ListedDevice => ({...device, matched: wanted?.(device) ?? true});
  return {
    schemaVersion: 1,
    origin: host.origin,
    kernel: host.kernel,
    units: host.units,
    groups: host.groups
      .map((group) => ({
        ...group,
        devices: group.devices.map(listed),
        explanation: explain ? explainGroup(host, group) : null,
      }))
      // without a filter an empty group is shown, too
      .filter((group) => wanted === null || group.devices.some((device) => device.matched)),
    ungrouped: host.ungrouped
      .map((device) => ({...listed(device), explanation: explain ? explainUngrouped(host, device) : null}))
      .filter((device) => device.matched),
    noGroups: host.noGroups,
    warnings: host.warnings,
  };
};
