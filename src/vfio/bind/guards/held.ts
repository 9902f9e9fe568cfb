import type {Group} from '../../../iommu/group.js';
import {SyscallError} from '../../../linux/errno.js';
import {VfioGroup} from '../../../linux/vfio.js';
import {parseDeviceNumber, readGroupNodes, type GroupNode} from '../../group-node.js';
import {holdersOf} from '../../holders.js';
import {namesIn, textOf, type Guard, type GuardContext} from './guard.js';

/** A group that a VM, or anybody else, has open through VFIO: its driver would not let go of the device until it ends. */
export const heldGuard: Guard = (context) => {
  if (!context.live) return [];
  const nodes = readGroupNodes(context.tree);
  return context.groups.flatMap((group) => {
    const device = group.devices.find(({path}) => context.devices.some((own) => own.path === path));
    const node = nodes.find((candidate) => candidate.group === group.id);
    const found = device === undefined ? null : holderOf(context, group, node);
    return device === undefined || found === null
      ? []
      : [{guard: 'held' as const, device: device.address, found: `group ${group.id} is held by ${found}`}];
  });
};

const holderOf = (
  {tree, passive, doubt}: GuardContext,
  group: Group,
  node: GroupNode | undefined,
): string | null => {
  const numbers = [
    ...(node === undefined ? [] : [node.device]),
    ...group.devices.flatMap(({path}) =>
      namesIn(tree, `${path}/vfio-dev`).flatMap(
        (name) => parseDeviceNumber(textOf(tree, `${path}/vfio-dev/${name}/dev`) ?? '') ?? [],
      ),
    ),
  ];
  const holders = numbers.flatMap((number) => holdersOf(number).holders);
  const names = new Set(holders.map(({pid, comm}) => `process ${pid} (${comm})`));
  if (names.size > 0) return [...names].join(', ');
  if (node === undefined) return null;
  if (passive) {
    doubt(`whether somebody who does not show in /proc holds group ${group.id}`);
    return null;
  }
  return isOpen(node) ? 'somebody who does not show in /proc' : null;
};

/** A group has one user at a time, so the kernel tells. */
const isOpen = ({path}: GroupNode): boolean => {
  try {
    VfioGroup.open(path)[Symbol.dispose]();
    return false;
  } catch (error) {
    if (error instanceof SyscallError) return error.code === 'EBUSY';
    throw error;
  }
};
