import {posix} from 'node:path';
import {Failure} from '../failure.js';
import {SyscallError} from '../linux/errno.js';
import type {HostTree} from '../host/tree.js';

/** Buses with devices that VFIO has drivers for. */
const BUSES = ['pci', 'mdev', 'platform', 'amba', 'fsl-mc', 'cdx', 'ap', 'css'];

/**
 * Number of the group that a device is in.
 *
 * @param address - its name on its bus
 * @throws {@link Failure} when there is no such device, or it is in no group
 */
export const groupOfDevice = (tree: HostTree, address: string): number => {
  const bus = BUSES.find(
    (name) => !(tree.text(`/sys/bus/${name}/devices/${address}/uevent`) instanceof SyscallError),
  );
  if (bus === undefined) throw notThere(address);
  const link = tree.link(`/sys/bus/${bus}/devices/${address}/iommu_group`);
  const name = link instanceof SyscallError ? '' : posix.basename(link);
  if (!/^\d{1,10}$/.test(name)) throw groupless(address);
  return Number(name);
};

/** Whether a bus other than PCI has a device of that name. */
export const isOnOtherBus = (tree: HostTree, name: string): boolean =>
  !name.includes('/') &&
  BUSES.some(
    (bus) => bus !== 'pci' && !(tree.text(`/sys/bus/${bus}/devices/${name}/uevent`) instanceof SyscallError),
  );

const notThere = (address: string): Failure =>
  new Failure({
    code: 'DEVICE_NOT_FOUND',
    kind: 'notFound',
    what: `There is no device ${address}.`,
    why: `No bus of this machine that VFIO knows has one: ${BUSES.join(', ')}.`,
    hint: 'Run "kvfio groups" to see the devices there are.',
  });

const groupless = (address: string): Failure =>
  new Failure({
    code: 'DEVICE_WITHOUT_GROUP',
    kind: 'notFound',
    what: `${address} is in no IOMMU group.`,
    why: 'No IOMMU stands between it and memory, and VFIO takes no such device.',
    hint: 'Run "kvfio groups": it says why, and what helps.',
  });
