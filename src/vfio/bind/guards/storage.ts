import {closeSync, constants, openSync} from 'node:fs';
import {SyscallError} from '../../../linux/errno.js';
import type {HostTree} from '../../../host/tree.js';
import {parseDeviceNumber} from '../../group-node.js';
import {holdersText} from '../../holders.js';
import {blockDevicesOf, blockName, type BlockDevice} from './block-devices.js';
import {openedNodes} from './character-nodes.js';
import {ENOMEDIUM, memberSignature} from './member-signature.js';
import {isBelow, treeText, type Guard, type GuardContext} from './guard.js';
import {mountPointsOf} from './mounted.js';
import {readMounts} from './mounts.js';
import {isSwap, readSwaps} from './swap.js';
import {unseenProcesses} from './unseen-processes.js';

/**
 * A member of a volume group, an array or a pool, active or not, what a process has open, and whatever else the kernel
 * uses exclusively: ZFS does not show in sysfs whose devices it has.
 */
export const storageGuard: Guard = (context) => {
  const {tree, devices, live, passive, doubt} = context;
  const [mounts, swaps] = [readMounts(tree), readSwaps(tree)];
  return devices.flatMap(({address, path}) => {
    const blocks = blockDevicesOf(tree, path);
    const openers = live ? openedBlocks(context, blocks) : new Map<BlockDevice, string>();
    const unknown: string[] = [];
    const ofBlocks = blocks.flatMap((block) => {
      // other guards have those, and the whole of a disk is in use when a part of it is
      const accounted =
        mountPointsOf(tree, block, mounts).length > 0 ||
        isSwap(block, swaps) ||
        blocks.some((part) => isBelow(part.path, block.path));
      const found = unlessUnclear(
        block,
        () =>
          memberOf(context, block) ??
          openers.get(block) ??
          (live && !passive && !accounted && isInExclusiveUse(block)
            ? `${blockName(block)} is in exclusive use, by a pool or in another mount namespace (open with O_EXCL answers EBUSY)`
            : null),
      );
      if (live && found === null && hasNode(block)) unknown.push(blockName(block));
      if (live && passive && !accounted && found === null)
        doubt({
          code: 'NOT_ASKED',
          message: `a dry run opens no disk, so kvfio did not check whether ${blockName(block)} is in exclusive use, or is a member of a pool or array that udev does not know`,
        });
      return found ?? [];
    });
    return [...ofBlocks, ...unseenProcesses(context, unknown), ...openedNodes(context, path, COMMANDED)].map(
      (found) => ({
        guard: 'storage' as const,
        device: address,
        found,
      }),
    );
  });
};

/** Classes of nodes through which programs give commands to disks and tapes past the block layer. */
const COMMANDED = ['nvme', 'nvme-generic', 'scsi_generic', 'bsg', 'scsi_tape', 'scsi_changer'];

const unlessUnclear = (block: BlockDevice, ask: () => string | null): string | null => {
  try {
    return ask();
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    return `kvfio cannot determine whether ${blockName(block)} is free (${error.message})`;
  }
};

const memberOf = ({tree, live, passive}: GuardContext, block: BlockDevice): string | null => {
  if (block.holders.length > 0) return `${blockName(block)} carries ${block.holders.join(', ')}`;
  const reads = hasNode(block) && !(live && passive);
  const signature = udevSignature(tree, block) ?? (reads ? readSignature(tree, block, live) : null);
  return signature === null ? null : `${blockName(block)} is a member of ${signature}`;
};

/** Other trees than that of a live machine need not have nodes. */
const readSignature = (tree: HostTree, block: BlockDevice, live: boolean): string | null => {
  try {
    return memberSignature(tree, block);
  } catch (error) {
    if (!live && error instanceof SyscallError) return null;
    throw error;
  }
};

/** A path to a namespace that several lead to is hidden: it has no number, and no node. */
const hasNode = ({number}: BlockDevice): boolean => number !== null;

/** What processes have open, in words. A program that reads or writes the bare disk need not use it exclusively. */
const openedBlocks = ({openNodes}: GuardContext, blocks: readonly BlockDevice[]): Map<BlockDevice, string> =>
  new Map(
    blocks.flatMap((block) => {
      const number = parseDeviceNumber(block.number ?? '');
      const holders = number === null ? undefined : openNodes().block.get(number);
      return holders === undefined
        ? []
        : [[block, `${blockName(block)} is open in ${holdersText(holders)}`] as const];
    }),
  );

/** What udev found on it; null where udev does not run. */
const udevSignature = (tree: HostTree, {number}: BlockDevice): string | null => {
  const text = number === null ? null : treeText(tree, `/run/udev/data/b${number}`);
  const [, type] = /^E:ID_FS_TYPE=(.*)$/m.exec(text ?? '') ?? [];
  return type !== undefined && /_member$/i.test(type) ? `${type.replace(/_member$/i, '')} (udev)` : null;
};

/** @throws {@link SyscallError} that says neither */
const isInExclusiveUse = (block: BlockDevice): boolean => {
  if (!hasNode(block)) return false;
  const path = `/dev/${block.name.replaceAll('!', '/')}`;
  try {
    closeSync(openSync(path, constants.O_RDONLY | constants.O_EXCL | constants.O_NONBLOCK));
    return false;
  } catch (error) {
    const {code, errno} = error as NodeJS.ErrnoException;
    if (errno === undefined) throw error;
    if (code === 'EBUSY') return true;
    if (errno === -ENOMEDIUM) return false;
    throw new SyscallError('open', -errno, path);
  }
};
