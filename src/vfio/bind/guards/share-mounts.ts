import type {HostTree} from '../../../host/tree.js';
import {isBelow, folderNames, resolved, treeText} from './guard.js';
import type {Mount} from './mounts.js';

/** A file system without a block device that a device carries, in words, and where it is mounted. */
export interface ShareMount {
  what: string;
  points: string[];
}

/**
 * File systems that a device carries and that no block device shows: 9p and virtiofs of a virtual machine, and those of
 * flash memory. A mount whose device sysfs does not name counts for every device that may be it.
 */
export const shareMountsOf = (tree: HostTree, devicePath: string, mounts: readonly Mount[]): ShareMount[] => [
  ...virtioShares(tree, devicePath, mounts),
  ...flashMounts(tree, devicePath, mounts),
];

/** Where each kind of share has the tags of its devices. */
const SHARES = [
  // net/9p/trans_virtio.c, p9_mount_tag_show
  {
    type: '9p',
    driver: '9pnet_virtio',
    tagOf: (tree: HostTree, path: string) => treeText(tree, `${path}/mount_tag`),
  },
  {type: 'virtiofs', driver: 'virtiofs', tagOf: (tree: HostTree, path: string) => virtiofsTag(tree, path)},
] as const;

const virtioShares = (tree: HostTree, devicePath: string, mounts: readonly Mount[]): ShareMount[] =>
  SHARES.flatMap(({type, driver, tagOf}) => {
    const folder = `/sys/bus/virtio/drivers/${driver}`;
    const carriers = folderNames(tree, folder)
      .filter((name) => /^virtio\d+$/.test(name))
      .flatMap((name) => {
        const path = resolved(tree, folder, name);
        return path === null ? [] : [{name, path, tag: tagOf(tree, path)?.replace(/\0+$/, '') ?? null}];
      });
    const ofType = mounts.filter((mount) => mount.type === type);
    const known = new Set(carriers.flatMap(({tag}) => tag ?? []));
    return carriers
      .filter(({path}) => isBelow(path, devicePath))
      .flatMap(({name, tag}) => {
        const own = ofType.filter(({source}) => (tag === null ? !known.has(source) : source === tag));
        const what =
          tag === null
            ? `${name} may carry the ${type} file system ${[...new Set(own.map(({source}) => source))].join(' or ')}, which`
            : `the ${type} file system ${tag} of ${name}`;
        return [{what, points: pointsOf(own)}];
      });
  });

/** The tag of a virtiofs device, which sysfs has since Linux 6.9 (fs/fuse/virtio_fs.c, virtio_fs_add_instance). */
const virtiofsTag = (tree: HostTree, path: string): string | null => {
  const folder = '/sys/fs/virtiofs';
  const instance = folderNames(tree, folder).find(
    (name) => resolved(tree, `${folder}/${name}`, 'device') === path,
  );
  return instance === undefined ? null : treeText(tree, `${folder}/${instance}/tag`);
};

/** UBIFS and JFFS2 lie on memory technology devices, such as the SPI flash of a PCI controller. */
const flashMounts = (tree: HostTree, devicePath: string, mounts: readonly Mount[]): ShareMount[] => {
  const numbers = folderNames(tree, MTD)
    .flatMap((name) => /^mtd(\d+)$/.exec(name)?.[1] ?? [])
    .filter((number) => isBelow(resolved(tree, MTD, `mtd${number}`) ?? '', devicePath));
  return numbers.map((number) => ({
    what: `the flash memory mtd${number}`,
    points: pointsOf(mounts.filter((mount) => mtdOf(tree, mount) === number)),
  }));
};

const MTD = '/sys/class/mtd';

/** The number of the memory technology device that a mount is on: `mtd0`, `/dev/mtdblock0`, `ubi0:root`, `/dev/ubi0_1`. */
const mtdOf = (tree: HostTree, {type, source}: Mount): string | null => {
  if (type !== 'jffs2' && type !== 'ubifs') return null;
  const [, ubi] = /^(?:\/dev\/)?ubi(\d+)/.exec(source) ?? [];
  if (ubi !== undefined) return treeText(tree, `/sys/class/ubi/ubi${ubi}/mtd_num`);
  return /^(?:\/dev\/)?mtd(?:block)?(\d+)$/.exec(source)?.[1] ?? null;
};

const pointsOf = (mounts: readonly Mount[]): string[] => [...new Set(mounts.map(({point}) => point))];
