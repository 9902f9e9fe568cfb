import {Failure, type FailureParts} from '../failure.js';
import type {Group} from '../iommu/group.js';
import {checked} from '../linux/descriptor.js';
import {SyscallError} from '../linux/errno.js';
import {VFIO_TYPE1v2_IOMMU} from '../linux/ioctl.js';
import {VfioContainer, VfioGroup} from '../linux/vfio.js';
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
export const openGroup = (node: GroupNode, group: Group, container: Container): VfioGroup =>
  checked(new VfioGroup(openNode(node), node.path), (file) => {
    const {viable} = opening(node, () => file.status());
    if (!viable) throw notViable(group);
    if (container === 'type1') intoContainer(file, node);
  });

/**
 * Throws as {@link openGroup} would, as far as can be told without opening the group.
 *
 * @throws {@link Failure}
 */
export const checkGroupFree = (node: GroupNode, group: Group): void => {
  checkNode(node);
  if (!group.viable) throw notViable(group);
  if (holdersOf(node.device).holders.length > 0) throw notOpened(node, 'EBUSY');
};

/**
 * The node of a group, without which VFIO has nothing to open.
 *
 * @throws {@link Failure} that says which devices would have to be bound
 */
export const requireGroupNode = (nodes: readonly FileNode[], group: Group): GroupNode => {
  const node = nodes.find((candidate) => candidate.kind === 'group' && candidate.group === group.id);
  if (node?.kind === 'group') return node;
  // a bridge that VFIO accepts as it is says nothing of what to do
  const concerned = group.blockers.length > 0 ? group.blockers : group.devices;
  const members = concerned.map(({address, driver}) => `${address} is bound to ${driver ?? 'no driver'}`);
  throw new Failure({
    code: 'GROUP_NOT_BOUND',
    kind: 'notFound',
    what: `Group ${group.id} is not bound to a VFIO driver.`,
    why: `Without one there is no /dev/vfio/${group.id}: ${members.join(', ') || 'it has no devices'}.`,
    hint: `Run "kvfio bind --group ${group.id}" (with --dry-run first), unless the host needs its devices.`,
  });
};

/** The group keeps the container, which so need not stay open. */
const intoContainer = (file: VfioGroup, node: GroupNode): void => {
  try {
    using container = VfioContainer.open();
    file.setContainer(container);
    container.setIommu(VFIO_TYPE1v2_IOMMU);
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    const [kind, why, hint] = CONTAINER_REASONS[`${error.syscall} ${error.code}`] ??
      CONTAINER_REASONS[error.code] ?? [
        'kernelRefused',
        `The kernel answered ${error.code} to ${error.syscall}.`,
        'Use --container none.',
      ];
    throw new Failure({
      code: 'NO_CONTAINER',
      kind,
      what: `Group ${node.group} was not put into a container.`,
      why,
      hint,
      errno: error.code,
      cause: error,
    });
  }
};

type Reason = [kind: FailureParts['kind'], why: string, hint: string];

const CONTAINER_REASONS: Record<string, Reason> = {
  ENOENT: ['notFound', 'There is no /dev/vfio/vfio.', 'Load vfio, or use --container none.'],
  EACCES: ['permission', 'You may not open /dev/vfio/vfio.', 'Run kvfio as root.'],
  ENODEV: ['notFound', 'The kernel has no type 1 IOMMU driver.', 'Load vfio_iommu_type1.'],
  'ioctl(VFIO_SET_IOMMU) EPERM': [
    'refused',
    'Interrupts of its devices are not isolated by the IOMMU.',
    'Use a machine with interrupt remapping, or --container none.',
  ],
  'ioctl(VFIO_GROUP_SET_CONTAINER) EPERM': [
    'refused',
    'The group is not viable: the host uses one of its devices.',
    'Unbind the other devices of the group; "kvfio groups" shows them.',
  ],
  'ioctl(VFIO_GROUP_SET_CONTAINER) EBUSY': [
    'refused',
    'The group is in an IOMMU domain of somebody else.',
    'Find out which driver uses its devices, or use --container none.',
  ],
};

export const notViable = ({id, blockers}: Group): Failure =>
  new Failure({
    code: 'GROUP_NOT_VIABLE',
    kind: 'refused',
    what: `Group ${id} is not viable.`,
    why:
      blockers.length === 0
        ? 'The kernel says that the host uses one of its devices.'
        : `The host uses ${blockers.map(({address, driver}) => `${address}, which is bound to ${driver}`).join('; ')}.`,
    hint: 'Unbind what stands in the way, or bind it to vfio-pci.',
  });
