import {groupsDocument, type ListedDevice} from '../groups/groups-document.js';
import {openHost, wholeHost} from '../iommu/host.js';
import type {Kernel} from '../iommu/kernel.js';
import {compareAddresses} from '../pci/address.js';
import {fullName} from '../pci/name.js';
import type {Verdict} from '../iommu/snoop-control.js';
import type {Unit} from '../iommu/unit.js';
import type {Warning} from '../host/attributes.js';
import {DirectoryTree} from '../host/directory-tree.js';
import type {HostTree, Origin} from '../host/tree.js';
import type {Assignable} from '../vfio/eligibility/assignability.js';
import {examine} from '../vfio/eligibility/examined.js';
import {placeOf} from './place.js';
import {readSerial, type Serial} from '../pci/serial.js';

/** A machine, as far as two are compared. */
export interface ComparedMachine {
  origin: Origin;
  kernel: Kernel;
  units: Unit[];
  groups: ComparedGroup[];
  /** All of them, by address. */
  devices: ComparedDevice[];
  /** Why it has no groups; null when it has some. */
  noGroups: string | null;
  warnings: Warning[];
}

interface Verdicts {
  snoop: Verdict;
  assignable: Assignable;
  /** The same once `kvfio bind` has given the members to vfio-pci. */
  afterBind: Assignable;
}

export interface ComparedGroup extends Verdicts {
  group: number;
  devices: ComparedDevice[];
}

export interface ComparedDevice extends Verdicts {
  address: string;
  bus: string | null;
  /** Its folder under /sys/devices. */
  path: string;
  /** The slots that lead to it, from the root bus: `pci0000:00/1c.0/00.0`. */
  place: string;
  /** `8086:10d3 8086:0000`: those of the device and its subsystem; null on other buses than PCI, and when they could not be read. */
  ids: string | null;
  /** Vendor and device in words; null where there are none. */
  name: string | null;
  /** Null unless asked for. */
  serial: Serial | null;
  group: number | null;
  driver: string | null;
  iommu: string | null;
}

export interface ReadOptions {
  /** Whether to read what distinguishes devices of one model, as far as the machine's files have it. */
  serials: boolean;
  /** Whether names may come from this host where the machine has no pci.ids. */
  names: boolean;
}

/** Reads what `kvfio groups` says of a machine, to be compared. */
export const readCompared = (tree: HostTree, {serials, names}: ReadOptions): ComparedMachine => {
  const opened = openHost(tree, {regions: true, ...(names ? {names: new DirectoryTree()} : {})});
  const document = groupsDocument(wholeHost(opened), null, {
    explain: false,
    regions: false,
    examined: examine(tree, opened),
  });
  const compared = (device: ListedDevice, group: number | null): ComparedDevice => ({
    address: device.address,
    bus: device.bus,
    path: device.path,
    place: placeOf(device.path),
    ids: idsOf(device),
    name: fullName(device) ?? device.device,
    serial: serials && device.bus === 'pci' ? readSerial(tree, device.path) : null,
    group,
    driver: device.driver,
    iommu: device.iommu,
    snoop: device.snoopControl.verdict,
    assignable: device.assignable.verdict,
    afterBind: device.assignable.afterBind,
  });
  const groups = document.groups.map((group) => ({
    group: group.group,
    devices: group.devices.map((device) => compared(device, group.group)),
    snoop: group.snoopControl.verdict,
    assignable: group.assignable.verdict,
    afterBind: group.assignable.afterBind,
  }));
  const {origin, kernel, units, noGroups, warnings} = document;
  return {
    origin,
    kernel,
    units,
    groups,
    devices: [
      ...groups.flatMap(({devices}) => devices),
      ...document.ungrouped.map((device) => compared(device, null)),
    ].sort((a, b) => compareAddresses(a.address, b.address)),
    noGroups: noGroups?.message ?? null,
    warnings,
  };
};

const idsOf = ({vendorId, deviceId, subsystemVendorId, subsystemDeviceId}: ListedDevice): string | null =>
  vendorId === null || deviceId === null
    ? null
    : [
        pairOf(vendorId, deviceId),
        ...(subsystemVendorId === null || subsystemDeviceId === null
          ? []
          : [pairOf(subsystemVendorId, subsystemDeviceId)]),
      ].join(' ');

const pairOf = (vendor: string, device: string): string => `${vendor}:${device}`;
