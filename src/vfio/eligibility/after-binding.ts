import {VFIO_DRIVER, type Device} from '../../iommu/device.js';
import type {Group} from '../../iommu/group.js';
import {isPciBridge} from '../../pci/class.js';
import {blockers} from '../../iommu/viability.js';
import type {Examined} from './check.js';
import {goesAlong, parentInGroup} from './driver-domain.js';
import {probeRefusal} from './probe-checks.js';

/** What `kvfio bind` gives a member to. */
const VFIO_PCI = 'vfio-pci';

/** A group as its members will be when `kvfio bind --group` has taken all that it can. */
export const afterBinding = (host: Examined, group: Group): Group =>
  withDrivers(
    host,
    group,
    new Map(
      group.devices
        .filter((device) => isTaken(device, group) && probeRefusal(device, group, host) === null)
        .map(({path}) => [path, VFIO_PCI]),
    ),
  );

/** A group whose members with these paths have other drivers, without what goes along with the drivers that they had. */
export const withDrivers = (
  {version}: Pick<Examined, 'version'>,
  group: Group,
  drivers: ReadonlyMap<string, string | null>,
): Group => {
  const changed = group.devices.filter(({path}) => drivers.has(path));
  const gone = goesAlong(changed, group);
  const devices = group.devices
    .filter((device) => !gone.includes(device))
    .map((device) => {
      const driver = drivers.get(device.path);
      return driver === undefined
        ? device
        : {...device, driver, boundToVfio: driver !== null && VFIO_DRIVER.test(driver)};
    });
  const inTheWay = blockers(devices, version);
  return {...group, devices, viable: inTheWay.length === 0, blockers: inTheWay};
};

/** Whether `kvfio bind --group` takes a member: bridges and what VFIO accepts as it is stay what they are. */
export const isTaken = (device: Device, group: Group): boolean => {
  const {address, bus, driver, classCode, boundToVfio} = device;
  if (boundToVfio || bus !== 'pci' || isPciBridge(classCode)) return false;
  if (parentInGroup(device, group) !== undefined) return false;
  return driver === null
    ? classCode?.startsWith('06') !== true
    : group.blockers.some((blocker) => blocker.address === address);
};
