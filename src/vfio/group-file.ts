import {readFileSync, statSync} from 'node:fs';
import {Failure, type FailureParts} from '../failure.js';
import type {Group} from '../iommu/group.js';
import {checked} from '../linux/descriptor.js';
import {SyscallError} from '../linux/errno.js';
import {VFIO_TYPE1v2_IOMMU} from '../linux/ioctl.js';
import {O_RDWR, open} from '../linux/libc.js';
import {VfioContainer, VfioGroup} from '../linux/vfio.js';
import type {GroupNode} from './group-node.js';
import {holdersOf} from './holders.js';

/** Whether a group is put into a container of its own: `type1` moves its devices into an empty IOMMU domain. */
export const CONTAINERS = ['type1', 'none'] as const;
export type Container = (typeof CONTAINERS)[number];

/**
 * Opens a group for the owner of a VM. The caller closes it.
 *
 * @throws {@link Failure}: refused when it is in use or not viable, permission, notFound
 */
export const openGroup = (node: GroupNode, group: Group, container: Container): VfioGroup => {
  checkNode(node);
  return checked(openMarked(node), (file) => {
    if (!statusOf(file, node).viable) throw notViable(group);
    if (container === 'type1') intoContainer(file, node);
  });
};

/**
 * Throws as {@link openGroup} would, as far as can be told without opening the group.
 *
 * @throws {@link Failure}
 */
export const checkFree = (node: GroupNode, group: Group): void => {
  checkNode(node);
  if (!group.viable) throw notViable(group);
  if (holdersOf(node.device).holders.length > 0) throw notOpened(node, 'EBUSY');
};

/**
 * The node of a group, without which VFIO has nothing to open.
 *
 * @throws {@link Failure} that says which devices would have to be bound
 */
export const requireNode = (nodes: readonly GroupNode[], group: Group): GroupNode => {
  const node = nodes.find((candidate) => candidate.group === group.id);
  if (node !== undefined) return node;
  const members = group.devices.map(({address, driver}) => `${address} is bound to ${driver ?? 'no driver'}`);
  throw new Failure({
    code: 'GROUP_NOT_BOUND',
    kind: 'notFound',
    what: `Group ${group.id} is not VFIO's.`,
    why: `No VFIO driver has a device of it, so there is no /dev/vfio/${group.id}: ${members.join(', ') || 'it has no devices'}.`,
    hint: 'Bind its devices to vfio-pci, all that the host does not need at once.',
  });
};

/**
 * Marks an open group as one that kvfio opened. O_APPEND means nothing to VFIO, no VMM sets it, and it belongs to the
 * open file: all its descriptors show it, in whichever process they are.
 */
const O_APPEND = 0o2000;

/** Whether a process has its group from kvfio; null when that cannot be seen. */
export const openedByKvfio = (pid: number, fd: number): boolean | null => {
  try {
    const [, flags] = /^flags:\s+([0-7]+)$/m.exec(readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8')) ?? [];
    return flags === undefined ? null : (parseInt(flags, 8) & O_APPEND) !== 0;
  } catch {
    return null;
  }
};

const openMarked = (node: GroupNode): VfioGroup => {
  try {
    return new VfioGroup(open(node.path, O_RDWR | O_APPEND), node.path);
  } catch (error) {
    throw error instanceof SyscallError ? notOpened(node, error.code, error) : error;
  }
};

/** The node may be missing in a container's /dev, or be that of another device. */
const checkNode = (node: GroupNode): void => {
  const stats = statSync(node.path, {throwIfNoEntry: false});
  if (stats === undefined) throw notOpened(node, 'ENOENT');
  if (!stats.isCharacterDevice() || stats.rdev !== node.device) throw notOpened(node, 'ENXIO');
};

const statusOf = (file: VfioGroup, node: GroupNode): {viable: boolean} => {
  try {
    return file.status();
  } catch (error) {
    throw error instanceof SyscallError ? notOpened(node, error.code, error) : error;
  }
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

const notOpened = (node: GroupNode, errno: string, cause?: unknown): Failure => {
  const [kind, why, hint] =
    errno === 'EBUSY'
      ? busy(node)
      : (REASONS[errno] ?? [
          'kernelRefused',
          `The kernel answered ${errno}.`,
          'Look at its messages with dmesg.',
        ]);
  return new Failure({
    code: errno === 'EBUSY' ? 'GROUP_BUSY' : 'GROUP_NOT_OPENED',
    kind,
    what: `${node.path} could not be opened.`,
    why,
    hint,
    errno,
    cause,
  });
};

const REASONS: Record<string, Reason> = {
  ENOENT: [
    'notFound',
    'The node is not in this /dev, though the kernel has the group.',
    'Run kvfio outside of the container, or have the node made.',
  ],
  ENXIO: [
    'refused',
    'The node of that name is not the one of this group.',
    'Have udev make the nodes below /dev/vfio anew.',
  ],
  ENODEV: [
    'notFound',
    'The last device of the group is leaving VFIO.',
    'Bind its devices to vfio-pci again.',
  ],
  EACCES: [
    'permission',
    'You may not open it.',
    'Run kvfio as root, or have root give you read and write access to the node.',
  ],
  EPERM: [
    'permission',
    'A group without an IOMMU is for processes with CAP_SYS_RAWIO only.',
    'Run kvfio as root.',
  ],
};

const busy = ({device}: GroupNode): Reason => {
  const {holders, hidden} = holdersOf(device);
  const names = holders.map(({pid, comm}) => `process ${pid} (${comm})`);
  if (names.length > 0) {
    return [
      'refused',
      `A group has one user at a time, and ${names.join(', ')} ${names.length === 1 ? 'has' : 'have'} it open.`,
      'Attach it to the VM of that process, or end that process.',
    ];
  }
  return hidden > 0
    ? [
        'refused',
        `A group has one user at a time; who has it open is one of ${hidden} processes that you may not look at.`,
        'Run kvfio as root to learn who.',
      ]
    : [
        'refused',
        'No process has it open: a kvm-vfio device of a VM has kept it, or one of its devices is in use through /dev/vfio/devices.',
        'Close the kvm-vfio device that it was added to, or end that VM.',
      ];
};

const notViable = ({id, blockers}: Group): Failure =>
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
