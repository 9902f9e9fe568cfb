import type {HostTree} from '../../../host/tree.js';
import {blockDevicesOf, blockName, isNodeOf, type BlockDevice} from './block-devices.js';
import {folderNames, type Guard} from './guard.js';
import {readMounts, type Mount} from './mounts.js';
import {shareMountsOf} from './share-mounts.js';

/**
 * A mounted file system: of a disk, a partition, or anything that is built on one, of flash memory, or one that the device
 * carries to another host.
 */
export const mountedGuard: Guard = ({tree, devices}) => {
  const mounts = readMounts(tree);
  return devices.flatMap(({address, path}) =>
    [
      ...blockDevicesOf(tree, path).map((block) => ({
        what: blockName(block),
        points: mountPointsOf(tree, block, mounts),
      })),
      ...shareMountsOf(tree, path, mounts),
    ]
      .filter(({points}) => points.length > 0)
      .map(({what, points}) => ({
        guard: 'mounted' as const,
        device: address,
        found: `${what} is mounted at ${shortened(points)}`,
      })),
  );
};

/** Containers mount one file system in very many places. */
const shortened = (points: readonly string[]): string =>
  points.length > NAMED
    ? `${points.slice(0, NAMED).join(', ')} and ${points.length - NAMED} more places`
    : points.join(', ');

const NAMED = 8;

/** The mount points of a block device. */
export const mountPointsOf = (tree: HostTree, block: BlockDevice, mounts: readonly Mount[]): string[] => {
  const partners = btrfsPartners(tree, block);
  const points = mounts
    .filter(
      ({number, source}) =>
        number === block.number ||
        // bcachefs names all its devices, with colons in between
        source
          .split(':')
          .some((node) => isNodeOf(block, node) || partners.some((name) => node === `/dev/${name}`)),
    )
    .map(({point}) => point);
  // the folder is there while the file system is mounted somewhere
  return points.length === 0 && partners.length > 0
    ? [`an unknown place, as part of a btrfs on ${partners.join(', ')}`]
    : [...new Set(points)];
};

/** Names of all devices of the btrfs that a block device is part of; mountinfo names one of them. */
const btrfsPartners = (tree: HostTree, {name}: BlockDevice): string[] =>
  folderNames(tree, '/sys/fs/btrfs')
    .map((id) => folderNames(tree, `/sys/fs/btrfs/${id}/devices`))
    .find((names) => names.includes(name)) ?? [];
