import {SyscallError} from '../linux/errno.js';
import type {HostTree} from '../host/tree.js';

/** The node of a group, which exists while a VFIO driver has at least one of the group's devices. */
export interface GroupNode {
  kind: 'group';
  group: number;
  /** `/dev/vfio/12`, or `/dev/vfio/noiommu-12` for a group that VFIO made up for a device without an IOMMU. */
  path: string;
  /** Its device number, as stat(2) has it. The minor is not the group's number. */
  device: number;
}

const CLASS = '/sys/class/vfio';

/** The nodes that there are, by ascending group. */
export const readGroupNodes = (tree: HostTree): GroupNode[] => {
  const names = tree.list(CLASS);
  if (names instanceof SyscallError) return [];
  return names.flatMap((name) => readGroupNode(tree, name) ?? []).sort((a, b) => a.group - b.group);
};

const readGroupNode = (tree: HostTree, name: string): GroupNode | null => {
  const [, group] = /^(?:noiommu-)?(\d{1,10})$/.exec(name) ?? [];
  const text = tree.text(`${CLASS}/${name}/dev`);
  const device = text instanceof SyscallError ? null : parseDeviceNumber(text);
  if (group === undefined || device === null) return null; // another class device, or gone meanwhile
  return {kind: 'group', group: Number(group), path: `/dev/vfio/${name}`, device};
};

/** A device number as stat(2) has it (new_encode_dev in include/linux/kdev_t.h) of the text `major:minor`. */
export const parseDeviceNumber = (text: string): number | null => {
  const [, major, minor] = /^(\d{1,4}):(\d{1,7})\s*$/.exec(text) ?? [];
  return major === undefined || minor === undefined ? null : deviceNumber(Number(major), Number(minor));
};

export const deviceNumber = (major: number, minor: number): number =>
  (minor & 0xff) + (major & 0xfff) * 0x100 + (minor >>> 8) * 0x100000;
