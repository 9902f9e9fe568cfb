import type {Group} from '../../../iommu/group.js';
import {SyscallError} from '../../../linux/errno.js';
import {VfioGroup} from '../../ioctls.js';
import {parseDeviceNumber, readGroupNodes, type GroupNode} from '../../group-node.js';
import {holdersAmong, holdersText} from '../../holders.js';
import {folderNames, treeText, type Guard, type GuardContext} from './guard.js';
import {unseenProcesses} from './unseen-processes.js';

/** A group that a VM, or anybody else, has open through VFIO: its driver would not let go of the device until it ends. */
export const heldGuard: Guard = (context) => {
  if (!context.live) return [];
  const nodes = readGroupNodes(context.tree);
  return context.groups.flatMap((group) => {
    const device = group.devices.find(({path}) => context.devices.some((own) => own.path === path));
    const node = nodes.find((candidate) => candidate.group === group.id);
    return device === undefined
      ? []
      : usersOf(context, group, node).map((found) => ({
          guard: 'held' as const,
          device: device.address,
          found,
        }));
  });
};

const usersOf = (context: GuardContext, group: Group, node: GroupNode | undefined): string[] => {
  const {tree, passive, doubt, openNodes} = context;
  const cdevs = group.devices.flatMap(({path}) =>
    folderNames(tree, `${path}/vfio-dev`).flatMap(
      (name) => parseDeviceNumber(treeText(tree, `${path}/vfio-dev/${name}/dev`) ?? '') ?? [],
    ),
  );
  const numbers = [...(node === undefined ? [] : [node.device]), ...cdevs];
  const holders = numbers.length === 0 ? [] : holdersAmong(openNodes(), numbers);
  if (holders.length > 0) return [`group ${group.id} is held by ${holdersText(holders)}`];
  if (node !== undefined && passive) {
    const message = `a dry run opens no group, so kvfio did not check whether a process that does not show in /proc holds group ${group.id}`;
    doubt({code: 'NOT_ASKED', message});
  }
  const open = node === undefined || passive ? false : isOpen(node);
  if (open === true) return [`group ${group.id} is held by a process that does not show in /proc`];
  return unseenProcesses(context, [
    ...(open === null ? [`group ${group.id}`] : []),
    // a device that is open and not bound to an IOMMUFD leaves its group free, but its driver waits for it to be closed
    ...(cdevs.length === 0 ? [] : [`a device of group ${group.id}`]),
  ]);
};

/** Whether a group is open: it has one user at a time, so opening it shows that. Null when kvfio may not open it. */
const isOpen = ({path}: GroupNode): boolean | null => {
  try {
    VfioGroup.open(path)[Symbol.dispose]();
    return false;
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    if (error.code === 'ENODEV') return false;
    return error.code === 'EBUSY' ? true : null;
  }
};
