import {Failure} from '../failure.js';
import type {Group} from '../iommu/group.js';
import {checked} from '../linux/descriptor.js';
import {SyscallError} from '../linux/errno.js';
import {VFIO_TYPE1v2_IOMMU} from '../linux/ioctl.js';
import {VfioContainer, VfioGroup} from './ioctls.js';
import type {Call, Examined} from './eligibility/check.js';
import {explainAnswer, obstaclesOf, obstacleWords} from './eligibility/kernel-answer.js';
import type {Explanation} from './eligibility/other-answers.js';
import {OTHER_OWNERS, whyBindingIsUseless} from './eligibility/require-assignable.js';
import type {FileNode} from './file-node.js';
import type {GroupNode} from './group-node.js';
import {holdersOf} from './holders.js';
import {checkNode, notOpened, opening, openNode} from './open-node.js';

/** Whether a group is put into a container of its own: `type1` moves its devices into an empty IOMMU domain. */
export const CONTAINERS = ['type1', 'none'] as const;
export type Container = (typeof CONTAINERS)[number];

/**
 * Opens a group for the owner of a VM. The caller closes it.
 *
 * @throws {@link Failure}: refused when it is in use or not viable, permission, notFound
 */
export const openGroup = (
  node: GroupNode,
  {group, examined, container}: {group: Group; examined: Examined; container: Container},
): VfioGroup =>
  checked(new VfioGroup(openNode(node), node.path), (file) => {
    const {viable} = opening(node, () => file.status());
    if (!viable) throw notViable(examined, group);
    if (container === 'type1') intoContainer(file, examined, group);
  });

/**
 * Throws as {@link openGroup} would, as far as kvfio can determine that without opening the group.
 *
 * @throws {@link Failure}
 */
export const checkGroupFree = (node: GroupNode, group: Group, examined: Examined): void => {
  checkNode(node);
  if (!group.viable) throw notViable(examined, group);
  if (holdersOf(node.device).holders.length > 0) throw notOpened(node, 'EBUSY');
};

/**
 * The node of a group, without which VFIO has nothing to open.
 *
 * @throws {@link Failure} that says which devices would have to be bound, or what makes that useless
 */
export const requireGroupNode = (nodes: readonly FileNode[], group: Group, examined: Examined): GroupNode => {
  const node = nodes.find((candidate) => candidate.kind === 'group' && candidate.group === group.id);
  if (node?.kind === 'group') return node;
  const useless = whyBindingIsUseless(examined, group);
  // a bridge that VFIO accepts as it is says nothing of what to do
  const concerned = group.blockers.length > 0 ? group.blockers : group.devices;
  const members = concerned.map(({address, driver}) => `${address} is bound to ${driver ?? 'no driver'}`);
  throw new Failure({
    code: 'GROUP_NOT_BOUND',
    // it is there, and VFIO cannot take it as it is
    kind: 'refused',
    what: `Group ${group.id} is not bound to a VFIO driver${useless === null ? '' : ', and to bind it would not give it to a VM'}.`,
    why:
      useless?.why ??
      `Without one there is no /dev/vfio/${group.id}: ${members.join(', ') || 'it has no devices'}.`,
    hint:
      useless?.hint ??
      `Run "kvfio bind --group ${group.id}" (with --dry-run first), unless the host needs its devices.`,
  });
};

/** The group keeps the container, which so need not stay open. */
const intoContainer = (file: VfioGroup, examined: Examined, group: Group): void => {
  try {
    using container = VfioContainer.open();
    file.setContainer(container);
    container.setIommu(VFIO_TYPE1v2_IOMMU);
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    throw new Failure({
      code: 'NO_CONTAINER',
      ...explainContainer(error, examined, group),
      what: `Group ${group.id} was not put into a container.`,
      errno: error.code,
      cause: error,
    });
  }
};

const explainContainer = ({syscall, code}: SyscallError, examined: Examined, group: Group): Explanation => {
  const [, call] = /^ioctl\((VFIO_GROUP_SET_CONTAINER|VFIO_SET_IOMMU)\)$/.exec(syscall) ?? [];
  return call === undefined
    ? (NO_CONTAINER[code] ?? {
        kind: 'kernelRefused',
        why: `The kernel answered ${code} to ${syscall}.`,
        hint: 'Use --container none.',
      })
    : explainAnswer(examined, group, {call: call as Call, errno: code});
};

/** What opening /dev/vfio/vfio is answered (drivers/vfio/container.c; the node is of the misc device "vfio"). */
const NO_CONTAINER: Record<string, Explanation> = {
  ENOENT: {
    kind: 'notFound',
    why: 'There is no /dev/vfio/vfio.',
    hint: 'Run "modprobe vfio", or use --container none.',
  },
  EACCES: {kind: 'permission', why: 'You may not open /dev/vfio/vfio.', hint: 'Run kvfio as root.'},
  ENODEV: {
    kind: 'notFound',
    why: 'The kernel has no VFIO containers.',
    hint: 'Run "modprobe vfio", or use --container none.',
  },
};

/** What the table says of the drivers in the way, or the kernel alone. */
export const notViable = (examined: Examined, group: Group): Failure => {
  const [first, ...others] = obstaclesOf(examined, group).filter(({check}) => OTHER_OWNERS.includes(check));
  const {why, hint} =
    first === undefined
      ? {
          why: 'The kernel says that the host uses one of its devices.',
          hint: 'Find out which one; "kvfio groups" shows the drivers.',
        }
      : obstacleWords([first, ...others]);
  return new Failure({
    code: 'GROUP_NOT_VIABLE',
    kind: 'refused',
    what: `Group ${group.id} is not viable.`,
    why,
    hint,
  });
};
