import type {HostTree} from '../../../linux/host-tree.js';
import {blockDevicesOf, blockName, isNodeOf, type BlockDevice} from './block-devices.js';
import {namesIn, textOf, type Guard} from './guard.js';

/** A mounted file system: of a disk, a partition, or anything that is built on one. */
export const mountedGuard: Guard = ({tree, devices}) => {
  const mounts = readMounts(tree);
  return devices.flatMap(({address, path}) =>
    blockDevicesOf(tree, path).flatMap((block) => {
      const points = mountPointsOf(tree, block, mounts);
      return points.length === 0
        ? []
        : [
            {
              guard: 'mounted' as const,
              device: address,
              found: `${blockName(block)} is mounted at ${points.join(', ')}`,
            },
          ];
    }),
  );
};

export interface Mount {
  /** `259:2`; of btrfs and others a number that no device has. */
  number: string;
  point: string;
  source: string;
}

/** Where a block device is mounted. */
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

/** Mounts as this process and the first one see them: those of other mount namespaces show as exclusive use. */
export const readMounts = (tree: HostTree): Mount[] =>
  ['/proc/self/mountinfo', '/proc/1/mountinfo'].flatMap((path) => parseMountInfo(textOf(tree, path) ?? ''));

/** proc(5), /proc/pid/mountinfo. */
export const parseMountInfo = (text: string): Mount[] =>
  text.split('\n').flatMap((line) => {
    const fields = line.split(' ');
    const dash = fields.indexOf('-', 6);
    const [number, point, source] = [fields[2], fields[4], fields[dash + 2]];
    if (dash === -1 || number === undefined || point === undefined || source === undefined) return [];
    return [{number, point: unescaped(point), source: unescaped(source)}];
  });

/** Blanks and their like are octal in tables of /proc (fs/seq_file.c, mangle_path). */
export const unescaped = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(parseInt(digits, 8)));

/** Names of all devices of the btrfs that a block device is part of; mountinfo names one of them. */
const btrfsPartners = (tree: HostTree, {name}: BlockDevice): string[] =>
  namesIn(tree, '/sys/fs/btrfs')
    .map((id) => namesIn(tree, `/sys/fs/btrfs/${id}/devices`))
    .find((names) => names.includes(name)) ?? [];
