import type {HostTree} from '../../../host/tree.js';
import {isBelow, folderNames, resolved, treeText} from './guard.js';

/** A disk, a partition, or what is built on one: a mapping, an array, a loop device. */
export interface BlockDevice {
  /** The kernel's name: `nvme0n1p2`, `dm-0`. */
  name: string;
  /** Its folder under /sys/devices. */
  path: string;
  /** `259:2`. */
  number: string | null;
  /** Name of a mapping, as under /dev/mapper; null for others. */
  mapping: string | null;
  /** The block device that it is built on; null for one of the device itself. */
  on: BlockDevice | null;
  /** What of it the kernel has built on top (`holders`). */
  holders: string[];
}

const BLOCK = '/sys/class/block';

/** The block devices of a PCI device, and everything that is built on them. */
export const blockDevicesOf = (tree: HostTree, devicePath: string): BlockDevice[] => {
  const all = new Map(
    folderNames(tree, BLOCK).flatMap((name) => {
      const path = resolved(tree, BLOCK, name);
      return path === null ? [] : [[name, path] as const];
    }),
  );
  const found = new Map<string, BlockDevice>();
  const add = (name: string, on: BlockDevice | null): void => {
    const path = all.get(name);
    if (path === undefined || found.has(name)) return;
    const device = {
      name,
      path,
      number: treeText(tree, `${path}/dev`),
      mapping: treeText(tree, `${path}/dm/name`),
      on,
      holders: folderNames(tree, `${path}/holders`),
    };
    found.set(name, device);
    for (const holder of device.holders) add(holder, device);
    // partitions of a disk that is itself built on something
    for (const [other, otherPath] of all) if (isBelow(otherPath, path)) add(other, on);
    for (const loop of loopsOn(tree, all, device)) add(loop, device);
  };
  for (const [name, path] of all) {
    if (isBelow(path, devicePath) || hasPathThrough(tree, path, devicePath)) add(name, null);
  }
  return [...found.values()];
};

/** `nvme0n1p3`, or `dm-0 (vg-root) on nvme0n1p3`. */
export const blockName = ({name, mapping, on}: BlockDevice): string =>
  `${name}${mapping === null ? '' : ` (${mapping})`}${on === null ? '' : ` on ${blockName(on)}`}`;

/** Whether a path under /dev means this block device. */
export const isNodeOf = ({name, mapping}: BlockDevice, path: string): boolean =>
  path === `/dev/${name.replaceAll('!', '/')}` || (mapping !== null && path === `/dev/mapper/${mapping}`);

/**
 * The disk of a namespace that several controllers lead to belongs to none of them: it lies under its subsystem, which
 * has a link to each (drivers/nvme/host/multipath.c, nvme_mpath_alloc_disk).
 */
const hasPathThrough = (tree: HostTree, path: string, devicePath: string): boolean => {
  const [, subsystem] = /^(\/sys\/devices\/virtual\/nvme-subsystem\/[^/]+)\//.exec(path) ?? [];
  return (
    subsystem !== undefined &&
    folderNames(tree, subsystem)
      .filter((name) => /^nvme\d+$/.test(name))
      .some((name) => isBelow(resolved(tree, subsystem, name) ?? '', devicePath))
  );
};

const loopsOn = (tree: HostTree, all: ReadonlyMap<string, string>, device: BlockDevice): string[] =>
  [...all].flatMap(([name, path]) => {
    if (!name.startsWith('loop')) return [];
    const file = treeText(tree, `${path}/loop/backing_file`);
    return file !== null && isNodeOf(device, file) ? [name] : [];
  });
