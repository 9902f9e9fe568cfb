import {groupSnoopControl} from './coherency.js';
import {pciNames, type Device} from './device.js';
import type {Group, GroupContext} from './group.js';
import {blockers} from './viability.js';

/**
 * Groups on their way from one thread to another. Most devices of a machine are like others in all but their place, so what
 * they share is sent, and looked up, once.
 */
export interface PackedGroups {
  groups: Pick<Group, 'id' | 'type' | 'name' | 'reservedRegions'>[];
  /** How many devices each group has. */
  sizes: number[];
  /** Each of these four has one entry per device; `kindOf` has its index in `kinds`. */
  addresses: string[];
  paths: string[];
  kindOf: number[];
  hops: Device['hops'][];
  kinds: Kind[];
}

type Kind = Omit<Device, 'address' | 'path' | 'hops'>;

export const packGroups = (groups: readonly Group[]): PackedGroups => {
  const devices = groups.flatMap((group) => group.devices);
  const kinds: Kind[] = [];
  return {
    groups: groups.map(({id, type, name, reservedRegions}) => ({id, type, name, reservedRegions})),
    sizes: groups.map((group) => group.devices.length),
    addresses: devices.map((device) => device.address),
    paths: devices.map((device) => device.path),
    kindOf: devices.map((device) => kindOf(device, kinds)),
    hops: devices.map((device) => device.hops),
    kinds,
  };
};

/** The groups as the thread of `context` would have read them, with its strings and verdicts, and with names. */
export const unpackGroups = (context: GroupContext, packed: PackedGroups): Group[] => {
  const kinds = packed.kinds.map((kind) => adopted(context, kind));
  let next = 0;
  return packed.groups.map(({id, type, name, reservedRegions}, at) => {
    const first = next;
    next += packed.sizes[at] ?? 0;
    const devices = packed.addresses
      .slice(first, next)
      .map((address, index) => device(packed, first + index, address, kinds));
    const inTheWay = blockers(devices, context.version);
    return {
      id,
      type: type === null ? null : context.interned.text(type),
      name,
      snoopControl: groupSnoopControl(devices, context.rule, context.allUnits, context.version),
      viable: inTheWay.length === 0,
      blockers: inTheWay.slice(),
      reservedRegions,
      devices,
    };
  });
};

/** Number of the kind that a device is of, which is added when it is new. Devices that are alike are often neighbours. */
const kindOf = (device: Device, kinds: Kind[]): number => {
  for (let at = kinds.length - 1; at >= Math.max(0, kinds.length - LOOKED_AT); at--) {
    const kind = kinds[at];
    if (kind !== undefined && KEYS.every((key) => kind[key] === device[key])) return at;
  }
  return kinds.push(Object.fromEntries(KEYS.map((key) => [key, device[key]])) as unknown as Kind) - 1;
};

const LOOKED_AT = 8;

/** What makes a kind; those that differ most come first. A record, so that the compiler misses the field that is not here. */
const COMPARED: Record<keyof Kind, true> = {
  deviceId: true,
  subsystemDeviceId: true,
  driver: true,
  iommu: true,
  numaNode: true,
  resetMethods: true,
  noSnoop: true,
  snoopControl: true,
  bus: true,
  vendorId: true,
  subsystemVendorId: true,
  classCode: true,
  vendor: true,
  device: true,
  class: true,
  boundToVfio: true,
  driverOverride: true,
  noSnoopReason: true,
  silent: true,
};
const KEYS = Object.keys(COMPARED) as (keyof Kind)[];

const adopted = ({interned, ids, units}: GroupContext, kind: Kind): Kind => {
  const one = (text: string | null): string | null => (text === null ? null : interned.text(text));
  const isPci = kind.vendorId !== null || kind.classCode !== null;
  return {
    ...kind,
    bus: one(kind.bus),
    vendorId: one(kind.vendorId),
    deviceId: one(kind.deviceId),
    subsystemVendorId: one(kind.subsystemVendorId),
    subsystemDeviceId: one(kind.subsystemDeviceId),
    classCode: one(kind.classCode),
    ...(isPci ? pciNames(ids, kind.vendorId, kind.deviceId, kind.classCode) : {}),
    driver: one(kind.driver),
    iommu: one(kind.iommu),
    snoopControl: units.get(kind.iommu ?? '')?.snoopControl ?? kind.snoopControl,
  };
};

const device = (
  {paths, kindOf: kindsOf, hops}: PackedGroups,
  at: number,
  address: string,
  kinds: readonly Kind[],
): Device => {
  const kind = kinds[kindsOf[at] ?? 0] as Kind;
  return {
    address,
    bus: kind.bus,
    path: paths[at] ?? '',
    vendorId: kind.vendorId,
    deviceId: kind.deviceId,
    subsystemVendorId: kind.subsystemVendorId,
    subsystemDeviceId: kind.subsystemDeviceId,
    classCode: kind.classCode,
    vendor: kind.vendor,
    device: kind.device,
    class: kind.class,
    driver: kind.driver,
    boundToVfio: kind.boundToVfio,
    iommu: kind.iommu,
    driverOverride: kind.driverOverride,
    numaNode: kind.numaNode,
    resetMethods: kind.resetMethods,
    snoopControl: kind.snoopControl,
    noSnoop: kind.noSnoop,
    noSnoopReason: kind.noSnoopReason,
    silent: kind.silent,
    hops: hops[at] ?? null,
  };
};
