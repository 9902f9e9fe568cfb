import {SyscallError} from '../linux/errno.js';
import type {Attributes} from '../host/attributes.js';
import type {Interned} from './interned.js';
import {parsePciAddress} from '../pci/address.js';
import {isSilent, readNoSnoop, type NoSnoop} from '../pci/config.js';
import type {PciIds} from '../pci/ids.js';
import {readPath, type Hop} from '../pci/path.js';
import {evidence, type SnoopControl} from './snoop-control.js';
import type {Unit} from './unit.js';

/** One device: a PCI function, a platform device, a mediated device, or one of another bus. */
export interface Device {
  /** Its name on its bus: `0000:01:00.0`, `fd880000.usb`, the UUID of an mdev. */
  address: string;
  /** The bus as sysfs names it, such as `pci`, `platform` or `mdev`; null when it could not be read. */
  bus: string | null;
  /** Its folder under /sys/devices. */
  path: string;
  /** Four hexadecimal digits, as lspci prints them; null on other buses. So are the next three. */
  vendorId: string | null;
  deviceId: string | null;
  subsystemVendorId: string | null;
  subsystemDeviceId: string | null;
  /** Six hexadecimal digits: base class, subclass, programming interface. */
  classCode: string | null;
  /** Names from pci.ids; null without one, or when it does not know the number. */
  vendor: string | null;
  device: string | null;
  class: string | null;
  /** Bound driver, null when there is none. */
  driver: string | null;
  driverOverride: string | null;
  /** Whether the driver is a VFIO driver, so that the device takes part in VFIO now. */
  boundToVfio: boolean;
  /** The IOMMU unit that serves it, null when none does. */
  iommu: string | null;
  /** Null when the machine has no NUMA information for it. */
  numaNode: number | null;
  /** Ways to reset it, in the order in which the kernel tries them; null when the kernel shows none. */
  resetMethods: string[] | null;
  noSnoop: NoSnoop['state'];
  /** Why the bit is unknown or does not exist. */
  noSnoopReason: string | null;
  /** Whether it answers with all ones, as what has failed or does not wake does; null when it was not asked. */
  silent: boolean | null;
  snoopControl: SnoopControl;
  /** The path from the root port to the device itself; null unless it was asked for, and on other buses. */
  hops: Hop[] | null;
}

/** What reading devices needs to know of their machine. */
export interface DeviceContext {
  attributes: Attributes;
  units: Map<string, Unit>;
  /** Folders of the devices that VFIO has (see vfio-devices.ts). */
  vfioDevices: ReadonlySet<string>;
  ids: PciIds;
  interned: Interned;
  /** Whether to read the path to the root port with its ACS. */
  paths: boolean;
  /** Whether to read override, NUMA node and reset methods, which are null otherwise. */
  details: boolean;
  /** Whether to read the Enable No Snoop bit, which is unknown otherwise. */
  noSnoop: boolean;
  /** Hops seen so far: devices behind one port share them. */
  hops: Map<string, Hop>;
}

/**
 * Reads one device by its folder under /sys/devices.
 *
 * Its uevent file carries driver, class and ids at once: one read in place of five.
 *
 * @returns null, and a warning, when the device is gone
 */
export const readDevice = (context: DeviceContext, path: string): Device | null => {
  const {attributes, interned} = context;
  const uevent = attributes.text(`${path}/uevent`, 'expected');
  if (uevent === null && isGone(attributes, path)) return null;
  const properties = uevent ?? '';
  const address = path.slice(path.lastIndexOf('/') + 1);
  const slot = property(properties, 'PCI_SLOT_NAME') === address;
  const bus = slot ? 'pci' : attributes.linkName(`${path}/subsystem`);
  const isPci = bus === 'pci' && parsePciAddress(address) !== null;
  // the link says the same as a uevent file that cannot be trusted to be whole
  const boundTo =
    property(properties, 'DRIVER') ?? (isPci && !slot ? attributes.linkName(`${path}/driver`) : null);
  const driver = boundTo === null ? null : interned.text(boundTo);
  const iommu = servingUnit(context, path);
  const identity = isPci
    ? pciIdentity(context, path, properties)
    : otherIdentity(context, path, properties, bus);
  const details = context.details ? readDetails(context, path) : NO_DETAILS;
  const snoopControl =
    iommu === null && attributes.failed(`${path}/iommu`)
      ? undecided('the link to the unit that serves the device could not be read')
      : deviceSnoopControl(iommu, bus, context.units);
  const noSnoop = isPci
    ? pciNoSnoop(context, path)
    : {state: 'not-applicable' as const, reason: `${bus ?? 'this'} device`};
  // Files that are missing say something only of a device that is still there, and every PCI function has a config.
  const isThere = isPci && (context.noSnoop ? noSnoop !== null : iommu !== null);
  if (!isThere && isGone(attributes, path)) return null;
  // field by field: what is spread takes more memory, and more time
  return {
    address,
    bus,
    path,
    vendorId: identity.vendorId,
    deviceId: identity.deviceId,
    subsystemVendorId: identity.subsystemVendorId,
    subsystemDeviceId: identity.subsystemDeviceId,
    classCode: identity.classCode,
    vendor: identity.vendor,
    device: identity.device,
    class: identity.class,
    driver,
    boundToVfio:
      driver !== null && (bus === 'mdev' || VFIO_DRIVER.test(driver) || context.vfioDevices.has(path)),
    iommu,
    driverOverride: details.driverOverride,
    numaNode: details.numaNode,
    resetMethods: details.resetMethods,
    snoopControl,
    noSnoop: noSnoop?.state ?? 'unknown',
    noSnoopReason: noSnoop === null ? 'it has no configuration space' : noSnoop.reason,
    silent: context.noSnoop && isPci && noSnoop !== null ? isSilent(noSnoop) : null,
    hops: isPci && context.paths ? readPath(attributes, path, context.hops) : null,
  };
};

type Details = Pick<Device, 'driverOverride' | 'numaNode' | 'resetMethods'>;

const readDetails = ({attributes, interned}: DeviceContext, path: string): Details => {
  const driverOverride = emptyToNull(attributes.text(`${path}/driver_override`));
  const node = numaNode(attributes.text(`${path}/numa_node`));
  const resets = attributes.text(`${path}/reset_method`);
  return {
    driverOverride: driverOverride === null ? null : interned.text(driverOverride),
    numaNode: node,
    resetMethods: resets === null ? null : interned.list(resets.split(/\s+/).filter(Boolean)),
  };
};

const NO_DETAILS: Details = {driverOverride: null, numaNode: null, resetMethods: null};

/** Every device has a uevent file; one that cannot be read is there all the same. */
const isGone = (attributes: Attributes, path: string): boolean =>
  attributes.text(`${path}/uevent`, 'expected') === null && !attributes.failed(`${path}/uevent`);

/** Value of one line of a uevent file. To search for the few that are wanted is faster than to take all apart. */
const property = (uevent: string, key: string): string | undefined => {
  const head = `${key}=`;
  const at = uevent.startsWith(head) ? 0 : uevent.indexOf(`\n${head}`) + 1;
  if (at === 0 && !uevent.startsWith(head)) return undefined;
  const end = uevent.indexOf('\n', at);
  return uevent.slice(at + head.length, end === -1 ? uevent.length : end);
};

type Identity = Pick<
  Device,
  | 'vendorId'
  | 'deviceId'
  | 'subsystemVendorId'
  | 'subsystemDeviceId'
  | 'classCode'
  | 'vendor'
  | 'device'
  | 'class'
>;

const pciIdentity = (
  {attributes, ids, interned}: DeviceContext,
  path: string,
  properties: string,
): Identity => {
  const [vendorId, deviceId] = idPair(property(properties, 'PCI_ID'), interned);
  const [subsystemVendorId, subsystemDeviceId] = idPair(property(properties, 'PCI_SUBSYS_ID'), interned);
  const classText = property(properties, 'PCI_CLASS') ?? '';
  // printed with %04X, that is without leading zeros (drivers/pci/pci-driver.c, pci_uevent)
  const classCode = /^[0-9a-f]{1,6}$/i.test(classText)
    ? interned.text(classText.toLowerCase().padStart(6, '0'))
    : null;
  if ((vendorId === null || classCode === null) && !attributes.failed(`${path}/uevent`))
    attributes.malformed(`${path}/uevent`, 'it lacks PCI_ID or PCI_CLASS');
  return {
    vendorId,
    deviceId,
    subsystemVendorId,
    subsystemDeviceId,
    classCode,
    ...pciNames(ids, vendorId, deviceId, classCode),
  };
};

/** What a PCI function is called. */
export const pciNames = (
  ids: PciIds,
  vendorId: string | null,
  deviceId: string | null,
  classCode: string | null,
): Pick<Device, 'vendor' | 'device' | 'class'> => ({
  vendor: vendorId === null ? null : ids.vendor(vendorId),
  device: vendorId === null || deviceId === null ? null : ids.device(vendorId, deviceId),
  class: classCode === null ? null : ids.className(classCode),
});

/** Other buses have no ids; what comes nearest to a name is the mdev type or the firmware's word for the device. */
const otherIdentity = (
  {attributes}: DeviceContext,
  path: string,
  properties: string,
  bus: string | null,
): Identity => ({
  vendorId: null,
  deviceId: null,
  subsystemVendorId: null,
  subsystemDeviceId: null,
  classCode: null,
  vendor: null,
  device:
    (bus === 'mdev'
      ? (attributes.text(`${path}/mdev_type/name`) ?? attributes.linkName(`${path}/mdev_type`))
      : (property(properties, 'OF_COMPATIBLE_0') ?? property(properties, 'MODALIAS'))) ?? null,
  class: null,
});

const idPair = (text: string | undefined, interned: Interned): [string | null, string | null] => {
  if (text === undefined || !/^[0-9a-f]{4}:[0-9a-f]{4}$/i.test(text)) return [null, null];
  const ids = text.toLowerCase();
  return [interned.text(ids.slice(0, 4)), interned.text(ids.slice(5))];
};

const emptyToNull = (text: string | null): string | null =>
  // the kernel prints "(null)" for a device without an override
  text === null || text === '' || text === '(null)' ? null : text;

const numaNode = (text: string | null): number | null =>
  text !== null && /^\d{1,6}$/.test(text) ? Number(text) : null;

/** Names of the drivers that give devices to VFIO, where the kernel does not say which do. */
export const VFIO_DRIVER = /^(?:vfio[-_](?:pci|platform|amba|fsl-mc|cdx|ccw|ap|mdev)|\w+[-_]vfio[-_]pci)$/;

/**
 * Name of the unit behind the device's `iommu` link. The function of an AMD IOMMU has a folder of that name instead,
 * with its own class device in it, and no unit serves it.
 */
const servingUnit = ({attributes, interned}: DeviceContext, path: string): string | null => {
  const target = attributes.tree.link(`${path}/iommu`);
  if (typeof target === 'string') return interned.text(target.slice(target.lastIndexOf('/') + 1));
  return target.code === 'EINVAL' ? null : attributes.linkName(`${path}/iommu`);
};

const NOT_ASKED: NoSnoop = {state: 'unknown', reason: 'it was not asked for'};

/** Null when there is no configuration space. */
const pciNoSnoop = ({attributes, noSnoop}: DeviceContext, path: string): NoSnoop | null => {
  if (!noSnoop) return NOT_ASKED;
  const own = attributes.tree.inspect(`${path}/config`, readNoSnoop);
  if (own instanceof SyscallError && own.code === 'ENOENT') return null;
  if (own instanceof SyscallError) return {state: 'unknown', reason: `its configuration space: ${own.code}`};
  if (own.state !== 'unknown') return own;
  // A virtual function has no such bit, and its ids read all ones: its physical function's counts (SR-IOV, 9.3.5.4).
  const physical = attributes.linkName(`${path}/physfn`);
  return physical === null
    ? own
    : {state: 'unknown', reason: `a virtual function follows its physical function, ${physical}`};
};

const deviceSnoopControl = (
  iommu: string | null,
  bus: string | null,
  units: Map<string, Unit>,
): SnoopControl => {
  if (iommu === null) {
    const statement =
      bus === 'mdev' ? 'a mediated device has no IOMMU of its own' : 'no IOMMU unit serves this device';
    return {verdict: 'not-enforced', confidence: 'by-type', evidence: [evidence(statement)]};
  }
  return (
    units.get(iommu)?.snoopControl ??
    undecided('the unit that serves the device is not among the units of the machine', iommu)
  );
};

const undecided = (statement: string, unit: string | null = null): SnoopControl => ({
  verdict: 'unknown',
  confidence: 'none',
  evidence: [evidence(statement, {unit})],
});
