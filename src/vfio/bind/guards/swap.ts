import type {HostTree} from '../../../host/tree.js';
import {blockDevicesOf, blockName, isNodeOf, type BlockDevice} from './block-devices.js';
import {treeText, type Guard} from './guard.js';
import {unescaped} from './mounts.js';

/** Swap space: without it the kernel kills what was swapped out. A swap file counts as its mounted file system. */
export const swapGuard: Guard = ({tree, devices}) => {
  const swaps = readSwaps(tree);
  return devices.flatMap(({address, path}) =>
    blockDevicesOf(tree, path)
      .filter((block) => isSwap(block, swaps))
      .map((block) => ({
        guard: 'swap' as const,
        device: address,
        found: `${blockName(block)} is swap space in use`,
      })),
  );
};

export const isSwap = (block: BlockDevice, swaps: readonly string[]): boolean =>
  swaps.some((node) => isNodeOf(block, node));

/** Files and devices that are swapped to (/proc/swaps). */
export const readSwaps = (tree: HostTree): string[] =>
  (treeText(tree, '/proc/swaps') ?? '')
    .split('\n')
    .slice(1)
    .flatMap((line) => line.split(/\s+/, 1).filter(Boolean).map(unescaped));
