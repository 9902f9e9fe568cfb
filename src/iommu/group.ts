import type {KernelVersion} from '../host/kernel-release.js';
import type {Attributes} from '../host/attributes.js';
import {groupSnoopControl, type GroupSnoopControl, type KernelRule} from './coherency.js';
import {readDevice, type Device, type DeviceContext} from './device.js';
import {compareAddresses} from '../pci/address.js';
import type {Unit, UnitType} from './unit.js';
import {blockers, type Blocker} from './viability.js';

/** An address range that the IOMMU treats specially for every device of the group. */
export interface ReservedRegion {
  /** First address, hexadecimal. */
  start: string;
  /** Last address, hexadecimal, inclusive. */
  end: string;
  /** `direct`, `direct-relaxable`, `reserved` or `msi`. */
  kind: string;
}

/** One IOMMU group: the smallest set of devices that the IOMMU can keep apart from all others. */
export interface Group {
  id: number;
  /** Type of the default domain: `DMA`, `DMA-FQ`, `identity`, `unmanaged`, `blocked`, `unknown`; null when unreadable. */
  type: string | null;
  /** Name that a driver gave the group, null for most. */
  name: string | null;
  snoopControl: GroupSnoopControl;
  /** Whether the drivers of its members let VFIO take the group (VFIO_GROUP_FLAGS_VIABLE), which is one condition of several. */
  viable: boolean;
  /** The members that stand in the way. */
  blockers: Blocker[];
  /** Null unless asked for. */
  reservedRegions: ReservedRegion[] | null;
  devices: Device[];
}

export const GROUPS = '/sys/kernel/iommu_groups';

export interface GroupContext extends DeviceContext {
  version: KernelVersion | null;
  rule: KernelRule;
  /** The values of `units`. */
  allUnits: readonly Unit[];
  /** Whether to read reserved regions. */
  regions: boolean;
  /** Regions that have been read, by the text of their file; not to be changed. */
  regionsOf: Map<string, ReservedRegion[]>;
}

/** Numbers of the machine's groups in ascending order; gaps are usual. Null when the kernel has no groups folder. */
export const readGroupIds = (attributes: Attributes): number[] | null => {
  const names = attributes.names(GROUPS);
  if (names === null) return null;
  const ids: number[] = [];
  for (const name of names) {
    if (/^(?:0|[1-9]\d{0,9})$/.test(name)) ids.push(Number(name));
    else attributes.malformed(`${GROUPS}/${name}`, 'its name is not a group number');
  }
  // as a typed array, which is sorted by number without asking a function about each pair
  return [...Float64Array.from(ids).sort()];
};

/** Reads one group with its devices, sorted by address; null, and a warning, when the group is gone. */
export const readGroup = (context: GroupContext, id: number): Group | null => {
  const {attributes, interned} = context;
  const folder = `${GROUPS}/${id}`;
  const members = attributes.names(`${folder}/devices`, 'expected');
  if (members === null) return null;
  // while its files are near
  const type = context.details ? attributes.text(`${folder}/type`) : null;
  const reservedRegions = context.regions ? readRegions(context, `${folder}/reserved_regions`) : null;
  const devices = members
    // On a name clash the kernel appends a number, so an entry's name may not be its device's: the link has it.
    .map((name) => attributes.resolve(`${folder}/devices`, name))
    .map((path) => (path === null ? null : readDevice(context, path)))
    .filter((device) => device !== null)
    .sort((a, b) => compareAddresses(a.address, b.address));
  const inTheWay = blockers(devices, context.version);
  return {
    id,
    type: type === null ? null : interned.text(type),
    name: mayHaveName(context, devices) ? attributes.text(`${folder}/name`) : null,
    snoopControl: groupSnoopControl(devices, context.rule, context.allUnits, context.version),
    viable: inTheWay.length === 0,
    blockers: exact(inTheWay),
    reservedRegions,
    devices: exact(devices),
  };
};

/** The same without the room to grow that filter() and its like leave: 17 places for one device. */
const exact = <T>(list: readonly T[]): T[] => list.slice();

/**
 * Names come from VFIO for devices without an IOMMU, and from the drivers of some SoCs and of sPAPR; asking every
 * group of a large PC for one takes a tenth of the scan (callers of iommu_group_set_name()).
 */
const mayHaveName = ({units}: GroupContext, devices: readonly Device[]): boolean =>
  !devices.some((device) => NAMELESS.has(units.get(device.iommu ?? '')?.type ?? 'unknown'));

const NAMELESS = new Set<UnitType>(['intel-vt-d', 'amd-vi', 'virtio-iommu']);

/** Lines of `0xSTART 0xEND kind` (drivers/iommu/iommu.c, iommu_group_show_resv_regions). Most groups have the same ones. */
const readRegions = ({attributes, regionsOf}: GroupContext, file: string): ReservedRegion[] => {
  const text = attributes.text(file) ?? '';
  const known = regionsOf.get(text);
  if (known !== undefined) return known;
  const lines = text.split('\n').filter(Boolean);
  const regions = lines.flatMap((line) => {
    const match = /^(0x[0-9a-f]{1,16}) (0x[0-9a-f]{1,16}) (\S+)$/.exec(line);
    if (match === null) {
      attributes.malformed(file, `"${line.slice(0, 60)}" is not a reserved region`);
      return [];
    }
    const [, start = '', end = '', kind = ''] = match;
    return [{start, end, kind}];
  });
  if (regions.length === lines.length) regionsOf.set(text, regions);
  return regions;
};
