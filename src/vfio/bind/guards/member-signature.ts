import {SyscallError} from '../../../linux/errno.js';
import type {HostTree, ReadAt} from '../../../host/tree.js';
import type {BlockDevice} from './block-devices.js';
import {treeText} from './guard.js';

/**
 * What a block device says that it is a member of, by its first and last bytes, as libblkid looks for it; null when it
 * says nothing. Needs no udev.
 *
 * @throws {@link SyscallError} when it cannot be read
 */
export const memberSignature = (tree: HostTree, {name, path}: BlockDevice): string | null => {
  const sectors = Number(treeText(tree, `${path}/size`) ?? 0);
  const found = tree.inspect(`/dev/${name.replaceAll('!', '/')}`, (at) => signatureAt(at, sectors * SECTOR));
  if (!(found instanceof SyscallError)) return found;
  if (found.errno === ENOMEDIUM || (found.code === 'EIO' && isOptical(tree, path))) return null;
  throw found;
};

/** An optical drive that is not waited for opens without a disc, too, and then cannot be read (drivers/cdrom/cdrom.c, cdrom_open). */
const isOptical = (tree: HostTree, path: string): boolean =>
  treeText(tree, `${path.replace(/\/block\/[^/]+$/, '')}/type`) === TYPE_ROM;

/** include/scsi/scsi_proto.h. */
const TYPE_ROM = '5';

/** The errno of a drive with nothing in it (include/uapi/asm-generic/errno.h). */
export const ENOMEDIUM = 123;

/** @param size of the device, in bytes */
export const signatureAt = (at: ReadAt, size: number): string | null => {
  if (isLvm(at)) return 'LVM';
  if (isMd(at, size)) return 'a RAID array (md)';
  return isZfs(at, size) ? 'a ZFS pool' : null;
};

const SECTOR = 512;

/** `struct label_header` in one of the first four sectors (lib/label/label.h of LVM2). */
const isLvm = (at: ReadAt): boolean =>
  [0, 1, 2, 3].some((sector) => {
    const label = at(sector * SECTOR, 32).toString('latin1');
    return label.startsWith('LABELONE') && label.slice(24, 32) === 'LVM2 001';
  });

/** Superblocks 1.1, 1.2, 1.0 and 0.90 (include/uapi/linux/raid/md_p.h, MD_SB_MAGIC; md_u.h). */
const isMd = (at: ReadAt, size: number): boolean => {
  const sectors = Math.floor(size / SECTOR);
  // 8 KiB before the end, and a whole 64 KiB before it, both rounded down
  const ends = [Math.floor((sectors - 16) / 8) * 8, Math.floor(sectors / 128) * 128 - 128];
  return [0, 4096, ...ends.filter((sector) => sector > 0).map((sector) => sector * SECTOR)].some((offset) => {
    const magic = at(offset, 4);
    return magic.length === 4 && magic.readUInt32LE(0) === 0xa92b4efc;
  });
};

/** Uberblocks of the four labels of a vdev, in either byte order (ZFS on-disk format, 1.2 and 1.3). */
const isZfs = (at: ReadAt, size: number): boolean => {
  const whole = Math.floor(size / LABEL) * LABEL;
  return [0, LABEL, whole - 2 * LABEL, whole - LABEL]
    .filter((start) => start >= 0)
    .some((start) => {
      const ring = at(start + LABEL / 2, LABEL / 2);
      for (let offset = 0; offset + 8 <= ring.length; offset += 1024) {
        if (ring.readBigUInt64LE(offset) === ZFS_MAGIC || ring.readBigUInt64BE(offset) === ZFS_MAGIC)
          return true;
      }
      return false;
    });
};

const LABEL = 256 * 1024;
const ZFS_MAGIC = 0x00bab10cn;
