import {closeSync, constants, openSync} from 'node:fs';
import type {HostTree} from '../../../linux/host-tree.js';
import {blockDevicesOf, blockName, type BlockDevice} from './block-devices.js';
import {memberSignature} from './member-signature.js';
import {isBelow, textOf, type Guard} from './guard.js';
import {mountPointsOf, readMounts} from './mounted.js';
import {isSwap, readSwaps} from './swap.js';

/**
 * A member of a volume group, an array or a pool, active or not, and whatever else the kernel uses exclusively: ZFS does
 * not show in sysfs whose devices it has.
 */
export const storageGuard: Guard = ({tree, devices, live}) => {
  const [mounts, swaps] = [readMounts(tree), readSwaps(tree)];
  return devices.flatMap(({address, path}) => {
    const blocks = blockDevicesOf(tree, path);
    return blocks.flatMap((block) => {
      const found = memberOf(tree, block);
      if (found !== null) return [{guard: 'storage' as const, device: address, found}];
      // other guards have those, and the whole of a disk is in use when a part of it is
      const accounted =
        mountPointsOf(tree, block, mounts).length > 0 ||
        isSwap(block, swaps) ||
        blocks.some((part) => isBelow(part.path, block.path));
      return live && !accounted && isInExclusiveUse(block)
        ? [
            {
              guard: 'storage' as const,
              device: address,
              found: `${blockName(block)} is in exclusive use, by a pool or in another mount namespace (open with O_EXCL answers EBUSY)`,
            },
          ]
        : [];
    });
  });
};

const memberOf = (tree: HostTree, block: BlockDevice): string | null => {
  if (block.holders.length > 0) return `${blockName(block)} carries ${block.holders.join(', ')}`;
  const signature = udevSignature(tree, block) ?? memberSignature(tree, block);
  return signature === null ? null : `${blockName(block)} is a member of ${signature}`;
};

/** What udev found on it; null where udev does not run. */
const udevSignature = (tree: HostTree, {number}: BlockDevice): string | null => {
  const text = number === null ? null : textOf(tree, `/run/udev/data/b${number}`);
  const [, type] = /^E:ID_FS_TYPE=(.*)$/m.exec(text ?? '') ?? [];
  return type !== undefined && /_member$/i.test(type) ? `${type.replace(/_member$/i, '')} (udev)` : null;
};

const isInExclusiveUse = ({name}: BlockDevice): boolean => {
  try {
    closeSync(
      openSync(
        `/dev/${name.replaceAll('!', '/')}`,
        constants.O_RDONLY | constants.O_EXCL | constants.O_NONBLOCK,
      ),
    );
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EBUSY';
  }
};
