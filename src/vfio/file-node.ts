import type {HostTree} from '../host/tree.js';
import {readCdevNodes, type CdevNode} from './cdev-node.js';
import {readGroupNodes, type GroupNode} from './group-node.js';

/** The node of a file that VFIO opens and KVM can register: a group, or one device by its cdev. */
export type FileNode = GroupNode | CdevNode;

/** What names such a file: the number of the group, or the address of the device. */
export type FileId = Pick<GroupNode, 'kind' | 'group'> | Pick<CdevNode, 'kind' | 'address'>;

/** The nodes that there are. */
export const readFileNodes = (tree: HostTree): FileNode[] => [
  ...readGroupNodes(tree),
  ...readCdevNodes(tree),
];

/** `group 12`, or `cdev 0000:01:00.0`. */
export const fileName = (id: FileId): string =>
  id.kind === 'group' ? `group ${id.group}` : `cdev ${id.address}`;

export const sameId = (one: FileId, other: FileId): boolean => fileName(one) === fileName(other);
