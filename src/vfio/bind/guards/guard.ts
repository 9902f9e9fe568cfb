import type {Device} from '../../../iommu/device.js';
import type {Group} from '../../../iommu/group.js';
import {SyscallError} from '../../../linux/errno.js';
import type {HostTree} from '../../../host/tree.js';
import type {InterfaceAddress} from '../../../linux/socket/interface-addresses.js';
import type {OpenNodes} from '../../holders.js';
import type {GuardFinding} from '../bind-document.js';

/** What guards look at. */
export interface GuardContext {
  tree: HostTree;
  /** The devices that would lose their driver. */
  devices: readonly Device[];
  /** The groups that these are in. */
  groups: readonly Group[];
  /** All devices of the machine that are known. */
  allDevices: readonly Device[];
  /** Addresses of the network interfaces of the machine. Throws a {@link SyscallError}. */
  addresses: () => InterfaceAddress[];
  /** Whether the files are those of this machine, so that device nodes and processes mean something. */
  live: boolean;
  /** Whether nothing may be opened, as in a dry run: an open group or disk is busy for others meanwhile. */
  passive: boolean;
  /** Receives what therefore is not known. */
  doubt: (doubt: Doubt) => void;
  /** What processes have open. */
  openNodes: () => OpenNodes;
  /** The character devices of the machine. */
  characterDevices: () => readonly CharacterDevice[];
}

/** What is left open. */
export interface Doubt {
  /**
   * A dry run does not ask, or kvfio may not look into processes; what kvfio did not bind stays with VFIO; what it did bind is not
   * for this user to read.
   */
  code: 'NOT_ASKED' | 'NOT_SEEN' | 'FOREIGN' | 'JOURNAL_UNREADABLE';
  /** A sentence without its full stop. */
  message: string;
}

export interface CharacterDevice {
  /** Its folder under /sys/devices. */
  path: string;
  /** Its device number (st_rdev of stat(2)). */
  number: number;
}

/**
 * Looks for one reason not to take devices from the host. What it cannot read and would have to know is a finding, too:
 * a guard that cannot decide refuses.
 */
export type Guard = (context: GuardContext) => GuardFinding[];

/** Names in a folder; none when there is no such folder. */
export const folderNames = (tree: HostTree, path: string): string[] => absent(tree.list(path)) ?? [];

/** A text without its line end; null when there is no such file. */
export const treeText = (tree: HostTree, path: string): string | null =>
  absent(tree.text(path, LIMIT))?.trimEnd() ?? null;

/** Canonical path under /sys/devices of a link there, such as that of a class; null when there is none. */
export const resolved = (tree: HostTree, folder: string, name: string): string | null => {
  const target = absent(tree.link(`${folder}/${name}`));
  if (target === null) return null;
  const parts = folder.split('/');
  for (const part of target.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '.') parts.push(part);
  }
  return parts.join('/');
};

export const isBelow = (path: string, folder: string): boolean => path.startsWith(`${folder}/`);

/** Large machines have mount tables of megabytes. */
const LIMIT = 16 * 1024 * 1024;

/** @throws the refusal, unless it says that there is no such thing */
const absent = <T>(answer: T | SyscallError): T | null => {
  if (!(answer instanceof SyscallError)) return answer;
  if (answer.code === 'ENOENT' || answer.code === 'ENODEV' || answer.code === 'ENOTDIR') return null;
  throw answer;
};
