import {statSync} from 'node:fs';
import {Failure, type FailureParts} from '../failure.js';
import {DirectoryTree} from '../linux/directory-tree.js';
import {SyscallError} from '../linux/errno.js';
import {O_RDWR, open} from '../linux/libc.js';
import {readCdevNodes} from './cdev-node.js';
import {fileName, type FileNode} from './file-node.js';
import type {GroupNode} from './group-node.js';
import {holdersOf, type Holder} from './holders.js';
import {KVFIO_MARK} from './kvfio-mark.js';

/**
 * Opens the node of a group or of a device, marked as kvfio's.
 *
 * @returns a descriptor, which the caller closes
 * @throws {@link Failure}: refused when it is in use, permission, notFound
 */
export const openNode = (node: FileNode): number => {
  checkNode(node);
  return opening(node, () => open(node.path, O_RDWR | KVFIO_MARK));
};

/** The node may be missing in a container's /dev, or be that of another device. */
export const checkNode = (node: FileNode): void => {
  const stats = statSync(node.path, {throwIfNoEntry: false});
  if (stats === undefined) throw notOpened(node, 'ENOENT');
  if (!stats.isCharacterDevice() || stats.rdev !== node.device) throw notOpened(node, 'ENXIO');
};

/** What goes wrong in `work` has kept the node from being opened. */
export const opening = <T>(node: FileNode, work: () => T): T => {
  try {
    return work();
  } catch (error) {
    throw error instanceof SyscallError ? notOpened(node, error.code, error) : error;
  }
};

export const notOpened = (node: FileNode, errno: string, cause?: unknown): Failure => {
  const [kind, why, hint] =
    errno === 'EBUSY' && node.kind === 'group'
      ? busy(node)
      : (REASONS[errno] ?? [
          'kernelRefused',
          `The kernel answered ${errno}.`,
          'Look at its messages with dmesg.',
        ]);
  return new Failure({
    code: `${node.kind === 'group' ? 'GROUP' : 'CDEV'}_${errno === 'EBUSY' ? 'BUSY' : 'NOT_OPENED'}`,
    kind,
    what: `${node.path}, the node of ${fileName(node)}, could not be opened.`,
    why,
    hint,
    errno,
    cause,
  });
};

type Reason = [kind: FailureParts['kind'], why: string, hint: string];

const REASONS: Record<string, Reason> = {
  ENOENT: [
    'notFound',
    'The node is not in this /dev, though the kernel has what it is for.',
    'Run kvfio outside of the container, or have the node made.',
  ],
  ENXIO: [
    'refused',
    'The node of that name is of another device.',
    'Have udev make the nodes below /dev/vfio anew.',
  ],
  ENODEV: ['notFound', 'Its last device is leaving VFIO.', 'Bind it to vfio-pci again.'],
  EACCES: [
    'permission',
    'You may not open it.',
    'Run kvfio as root, or have root give you read and write access to the node.',
  ],
  EPERM: ['permission', 'What has no IOMMU is for processes with CAP_SYS_RAWIO only.', 'Run kvfio as root.'],
};

/** `process 4711 (qemu-system-x86) has`, for one or several. */
export const holderText = (holders: readonly Holder[]): string =>
  `${holders.map(({pid, comm}) => `process ${pid} (${comm})`).join(', ')} ${holders.length === 1 ? 'has' : 'have'}`;

/** A group is busy while it is open, and while one of its devices is in use by its cdev. */
const busy = ({group, device}: GroupNode): Reason => {
  const cdevs = readCdevNodes(new DirectoryTree()).filter((node) => node.group === group);
  const {holders, hidden} = holdersOf(device, ...cdevs.map((node) => node.device));
  if (holders.length > 0) {
    return [
      'refused',
      `A group has one user at a time, and ${holderText(holders)} it${cdevs.length > 0 ? ', or a device of it,' : ''} open.`,
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
        'No process has it open: a kvm-vfio device of a VM has kept it.',
        'Close the kvm-vfio device that it was added to, or end that VM.',
      ];
};
