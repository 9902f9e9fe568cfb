import {posix} from 'node:path';
import {SyscallError} from '../linux/errno.js';
import type {HostTree} from '../host/tree.js';
import {parseDeviceNumber} from './group-node.js';

/** The node of one device (cdev), which exists while a VFIO driver has the device, on kernels that have such nodes. */
export interface CdevNode {
  kind: 'cdev';
  /** The device on its bus, `0000:01:00.0` on PCI. */
  address: string;
  /** Its IOMMU group; null when that could not be read. */
  group: number | null;
  /** `/dev/vfio/devices/vfio3`, or `noiommu-vfio3` there for a device without an IOMMU. */
  path: string;
  /** The node's device number, as stat(2) has it. */
  device: number;
}

const CLASS = '/sys/class/vfio-dev';

/**
 * The nodes that there are, by address. The class exists since Linux 6.1, and its `dev` since 6.6 with
 * CONFIG_VFIO_DEVICE_CDEV (vfio_init_device_cdev in drivers/vfio/device_cdev.c).
 */
export const readCdevNodes = (tree: HostTree): CdevNode[] => {
  const names = tree.list(CLASS);
  if (names instanceof SyscallError) return [];
  return names
    .flatMap((name) => readCdevNode(tree, name) ?? [])
    .sort((a, b) => (a.address < b.address ? -1 : 1));
};

const readCdevNode = (tree: HostTree, name: string): CdevNode | null => {
  const link = tree.link(`${CLASS}/${name}`);
  const text = tree.text(`${CLASS}/${name}/dev`);
  const device = text instanceof SyscallError ? null : parseDeviceNumber(text);
  if (link instanceof SyscallError || device === null) return null; // no such nodes, or gone meanwhile
  // .../0000:01:00.0/vfio-dev/vfio0
  const folder = posix.resolve(CLASS, link, '../..');
  const group = tree.link(`${folder}/iommu_group`);
  return {
    kind: 'cdev',
    address: posix.basename(folder),
    group: group instanceof SyscallError ? null : groupOf(group),
    path: `/dev/vfio/devices/${name}`,
    device,
  };
};

const groupOf = (link: string): number | null => {
  const name = posix.basename(link);
  return /^\d{1,10}$/.test(name) ? Number(name) : null;
};
