import {posix} from 'node:path';
import {SyscallError} from '../linux/errno.js';
import type {HostTree} from '../linux/host-tree.js';
import {parseDeviceNumber} from './group-node.js';

/** The node of a device below /dev/vfio/devices, which kernels with VFIO_DEVICE_CDEV make (Linux 6.6). */
export interface CdevNode {
  /** `vfio3`, or `noiommu-vfio3` for a device without an IOMMU. */
  name: string;
  /** The device's own name on its bus: `0000:01:00.0`. */
  address: string;
  /** Its IOMMU group; null when it has none, or when that could not be read. */
  group: number | null;
  /** The node's device number, as stat(2) has it. */
  device: number;
}

const CLASS = '/sys/class/vfio-dev';

/** The nodes that there are. A kernel without them has the class, but no device numbers in it. */
export const readCdevNodes = (tree: HostTree): CdevNode[] => {
  const names = tree.list(CLASS);
  return names instanceof SyscallError ? [] : names.flatMap((name) => readCdevNode(tree, name) ?? []);
};

const readCdevNode = (tree: HostTree, name: string): CdevNode | null => {
  const text = tree.text(`${CLASS}/${name}/dev`);
  const device = text instanceof SyscallError ? null : parseDeviceNumber(text);
  const link = tree.link(`${CLASS}/${name}`);
  if (device === null || link instanceof SyscallError) return null;
  // ../../devices/pci0000:00/0000:01:00.0/vfio-dev/vfio3
  const folder = posix.resolve(CLASS, link, '../..');
  const address = posix.basename(folder);
  const group = tree.link(`${folder}/iommu_group`);
  const id = group instanceof SyscallError ? undefined : /\/(\d{1,10})$/.exec(group)?.[1];
  return {name, address, group: id === undefined ? null : Number(id), device};
};
