import {Failure} from '../failure.js';
import type {HostTree, Origin} from '../host/tree.js';
import {Attributes, type Warning} from '../host/attributes.js';
import {readDevice, type Device} from './device.js';
import {GROUPS, readGroupIds, type Group, type GroupContext} from './group.js';
import {Interned} from './interned.js';
import {readKernel, type Kernel} from './kernel.js';
import {whyNoGroups, type NoGroups} from './no-groups.js';
import {compareAddresses} from '../pci/address.js';
import {readNames} from '../pci/ids.js';
import {readGroups} from './read-groups.js';
import {readUnits, type Unit} from './unit.js';
import {UnseenDevices} from './unseen-devices.js';
import {readVfioDevices} from './vfio-devices.js';

/** A machine's IOMMU units and groups. */
export interface Host {
  origin: Origin;
  kernel: Kernel;
  units: Unit[];
  groups: Group[];
  /** PCI and mediated devices that are in no group: no IOMMU stands between them and memory. */
  ungrouped: Device[];
  /** Why there are no groups on this machine; null when there are some, or none was asked for. */
  noGroups: NoGroups | null;
  warnings: Warning[];
}

export interface HostOptions {
  /** Read only these groups, and no ungrouped devices. */
  onlyGroups?: readonly number[] | undefined;
  /** Read the path of every PCI device to its root port, with ACS. */
  paths?: boolean;
  /** Read the groups' reserved regions. */
  regions?: boolean;
  /** Read groups' types, and of devices override, NUMA node and reset methods; default true. */
  details?: boolean;
  /** Read the Enable No Snoop bits; default true. */
  noSnoop?: boolean;
  /** Where names come from when the tree has no pci.ids. */
  names?: HostTree;
}

/** A machine whose groups are read when they are asked for, one after the other and once. */
export interface OpenHost extends Pick<Host, 'origin' | 'kernel' | 'units'> {
  groups: Iterable<Group>;
  /** What is known when all groups have been read. */
  rest: () => Pick<Host, 'ungrouped' | 'noGroups' | 'warnings'>;
}

/** Reads a machine once, from its files alone: nothing is opened for writing, and no device is touched. */
export const readHost = (tree: HostTree, options: HostOptions = {}): Host =>
  wholeHost(openHost(tree, options));

export const wholeHost = ({origin, kernel, units, groups, rest}: OpenHost): Host => {
  const all = [...groups];
  return {origin, kernel, units, groups: all, ...rest()};
};

/** The same, without reading the groups yet. */
export const openHost = (tree: HostTree, options: HostOptions = {}): OpenHost => {
  const attributes = new Attributes(tree);
  const {version, ...kernel} = readKernel(attributes);
  const units = readUnits(attributes, {version, parameters: kernel.parameters});
  let ids: GroupContext['ids'] | undefined;
  const context: GroupContext = {
    attributes,
    units: new Map(units.map((unit) => [unit.name, unit])),
    allUnits: units,
    vfioDevices: readVfioDevices(attributes),
    // a big file, which those who show no names need not read
    get ids() {
      return (ids ??= readNames(attributes, options.names));
    },
    paths: options.paths ?? false,
    regions: options.regions ?? false,
    details: options.details ?? true,
    noSnoop: options.noSnoop ?? true,
    interned: new Interned(),
    hops: new Map(),
    regionsOf: new Map(),
    version,
    rule: kernel,
  };
  const present = readGroupIds(attributes) ?? [];
  const wanted =
    options.onlyGroups === undefined ? present : present.filter((id) => options.onlyGroups?.includes(id));
  const groups = readGroups(context, wanted);
  const unseen = new UnseenDevices(attributes);
  return {
    origin: tree.origin,
    kernel,
    units,
    groups: options.onlyGroups === undefined ? unseen.without(groups) : groups,
    rest: () => {
      const ungrouped = options.onlyGroups === undefined ? readUngrouped(context, unseen) : [];
      const noGroups =
        present.length > 0 || options.onlyGroups?.length === 0
          ? null
          : whyNoGroups(attributes, kernel, units);
      return {ungrouped, noGroups, warnings: attributes.warnings};
    },
  };
};

/** @throws Failure for the first of `ids` that the machine does not have */
export const requireGroups = (host: Host, ids: readonly number[]): void => {
  const missing = ids.find((id) => !host.groups.some((group) => group.id === id));
  if (missing === undefined) return;
  throw new Failure({
    code: 'GROUP_NOT_FOUND',
    kind: 'notFound',
    what: `There is no IOMMU group ${missing}.`,
    why:
      host.noGroups === null
        ? `${GROUPS}/${missing} does not exist.`
        : `This machine has no groups: ${host.noGroups.message}.`,
    hint:
      host.noGroups === null
        ? 'Run "kvfio groups" to see the groups there are.'
        : `To have groups, ${host.noGroups.remedy}.`,
  });
};

/** Platform devices outside any group are left out: a machine has hundreds, and most do no DMA. */
const readUngrouped = (context: GroupContext, unseen: UnseenDevices): Device[] =>
  unseen
    .paths()
    .map((path) => readDevice(context, path))
    .filter((device) => device !== null)
    .sort((a, b) => compareAddresses(a.address, b.address));
