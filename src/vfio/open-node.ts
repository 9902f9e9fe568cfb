import {statSync} from 'node:fs';
import {Failure} from '../failure.js';
import {DirectoryTree} from '../host/directory-tree.js';
import {SyscallError} from '../linux/errno.js';
import {O_RDWR, open} from '../linux/libc.js';
import {Process} from '../linux/proc/process.js';
import {readCdevNodes} from './cdev-node.js';
import {otherAnswer, type Explanation} from './eligibility/other-answers.js';
import {fileName, type FileNode} from './file-node.js';
import type {GroupNode} from './group-node.js';
import {deviceOf, holdersOf, type Holder} from './holders.js';
import {KVFIO_MARK, openedByKvfio} from './kvfio-mark.js';

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

const explainOpen = (errno: string): Explanation =>
  otherAnswer({version: null}, {call: 'open', errno}) ?? {
    kind: 'kernelRefused',
    why: `The kernel answered ${errno}.`,
    hint: 'Look at its messages with dmesg.',
  };

export const notOpened = (node: FileNode, errno: string, cause?: unknown): Failure => {
  const explained = errno === 'EBUSY' && node.kind === 'group' ? busy(node) : explainOpen(errno);
  return new Failure({
    code: `${node.kind === 'group' ? 'GROUP' : 'CDEV'}_${errno === 'EBUSY' ? 'BUSY' : 'NOT_OPENED'}`,
    ...explained,
    what: `${node.path}, the node of ${fileName(node)}, could not be opened.`,
    errno,
    cause,
  });
};

/** `process 4711 (qemu-system-x86) has`, for one or several. */
export const holderText = (holders: readonly Holder[]): string =>
  `${holders.map(({pid, comm}) => `process ${pid} (${comm})`).join(', ')} ${holders.length === 1 ? 'has' : 'have'}`;

/** A group is busy while it is open, and while one of its devices is in use by its cdev (vfio_group_fops_open()). */
const busy = ({group, device}: GroupNode): Explanation => {
  const cdevs = readCdevNodes(new DirectoryTree()).filter((node) => node.group === group);
  const {holders, hidden} = holdersOf(device, ...cdevs.map((node) => node.device));
  const [first] = holders;
  if (first !== undefined) {
    return {
      kind: 'refused',
      why: `A group has one user at a time, and ${holderText(holders)} it${cdevs.length > 0 ? ', or a device of it,' : ''} open.`,
      hint: toFree(first, {device, name: `--group ${group}`}),
    };
  }
  return hidden > 0
    ? {
        kind: 'refused',
        why: `A group has one user at a time; one of ${hidden} processes that you may not look at has it open.`,
        hint: 'Run kvfio as root to learn who.',
      }
    : {
        kind: 'refused',
        why: 'No process has it open: a kvm-vfio device of a VM has kept it.',
        hint: 'Find that VM with "kvfio vms" and end it, or from Linux 6.1.9 on close the device there with "kvfio detach --all --close-device".',
      };
};

/** What takes a node from the process that has it, or makes use of that. */
export const toFree = ({pid}: Holder, {device, name}: {device: number; name: string}): string =>
  isFromKvfio(pid, device)
    ? `Run "kvfio detach --pid ${pid} ${name}", which frees it, or end that process.`
    : `Attach it to the VM of that process ("kvfio attach --pid ${pid} ${name}"), or have that process close it.`;

/** Whether a process has a node open that kvfio opened for it. */
const isFromKvfio = (pid: number, device: number): boolean => {
  const owner = new Process(pid);
  try {
    return [...owner.descriptors()].some(
      ([fd]) => deviceOf(owner, fd) === device && openedByKvfio(pid, fd) === true,
    );
  } catch (error) {
    if (error instanceof SyscallError) return false; // it has ended
    throw error;
  }
};
