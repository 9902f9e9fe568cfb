import type {Origin} from '../linux/host-tree.js';
import type {Warning} from '../iommu/attributes.js';
import type {Device} from '../iommu/device.js';
import {explainGroup, explainUngrouped} from './explain.js';
import type {Group} from '../iommu/group.js';
import type {Host, OpenHost} from '../iommu/host.js';
import type {Kernel} from '../iommu/kernel.js';
import type {NoGroups} from '../iommu/no-groups.js';
import type {Unit} from '../iommu/unit.js';

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

/** The document of a machine that is read while it is printed: its fields are to be asked for once, in their order. */
export type OpenGroupsDocument = Omit<GroupsDocument, 'groups'> & {groups: Iterable<ListedGroup>};

/**
 * Makes the document from what was read and a test for the devices that are wanted, or null for all.
 *
 * Groups and devices become those of the document, and are not to be used otherwise: a second copy of 50,000 would take as
 * much memory as the first.
 */
export const groupsDocument = (
  host: Host,
  wanted: ((device: Device) => boolean) | null,
  {explain}: {explain: boolean},
): GroupsDocument => {
  const {origin, kernel, units, noGroups, warnings} = host;
  return {
    schemaVersion: 1,
    origin,
    kernel,
    units,
    groups: [...listedGroups(host, host.groups, wanted, explain)],
    ungrouped: listedUngrouped(host, host.ungrouped, wanted, explain),
    noGroups,
    warnings,
  };
};

/** The same for a machine whose groups are read as the document's are asked for. */
export const openGroupsDocument = (
  host: OpenHost,
  wanted: ((device: Device) => boolean) | null,
  {explain}: {explain: boolean},
): OpenGroupsDocument => {
  const {origin, kernel, units} = host;
  let known: ReturnType<OpenHost['rest']> | undefined;
  const rest = (): ReturnType<OpenHost['rest']> => (known ??= host.rest());
  return {
    schemaVersion: 1,
    origin,
    kernel,
    units,
    groups: listedGroups(host, host.groups, wanted, explain),
    get ungrouped() {
      const {ungrouped, noGroups} = rest();
      return listedUngrouped({kernel, noGroups}, ungrouped, wanted, explain);
    },
    get noGroups() {
      return rest().noGroups;
    },
    get warnings() {
      return rest().warnings;
    },
  };
};

function* listedGroups(
  machine: Pick<Host, 'kernel' | 'units'>,
  groups: Iterable<Group>,
  wanted: ((device: Device) => boolean) | null,
  explain: boolean,
): Generator<ListedGroup> {
  for (const group of groups) {
    const devices = group.devices.map((device) => listed(device, wanted));
    // without a filter an empty group is shown, too
    if (wanted !== null && !devices.some((device) => device.matched)) continue;
    yield Object.assign(group, {devices, explanation: explain ? explainGroup(machine, group) : null});
  }
}

const listedUngrouped = (
  machine: Pick<Host, 'kernel' | 'noGroups'>,
  devices: readonly Device[],
  wanted: ((device: Device) => boolean) | null,
  explain: boolean,
): UngroupedDevice[] =>
  devices
    .map((device) => listed(device, wanted))
    .filter((device) => device.matched)
    .map((device) =>
      Object.assign(device, {explanation: explain ? explainUngrouped(machine, device) : null}),
    );

const listed = (device: Device, wanted: ((device: Device) => boolean) | null): ListedDevice =>
  Object.assign(device, {matched: wanted?.(device) ?? true});
