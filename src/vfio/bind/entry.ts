import type {HostTree} from '../../host/tree.js';
import {SyscallError} from '../../linux/errno.js';
import {readGroupNodes} from '../group-node.js';
import type {JournalDevice, JournalEntry, JournalNode} from './journal.js';
import type {Nodes} from './node-owner.js';
import type {PlannedDevice} from './plan.js';
import {DRIVERS} from './steps.js';

/** A journal entry for what is about to begin. */
export const newEntry = (
  command: JournalEntry['command'],
  tree: HostTree,
  about: Pick<JournalEntry, 'members' | 'devices' | 'nodes'>,
): JournalEntry => ({
  kvfioJournal: 1,
  // of a width, so that entries sort as they were begun
  id: `${String(Date.now()).padStart(15, '0')}-${process.pid}`,
  command,
  state: 'open',
  boot: bootOf(tree),
  pid: process.pid,
  ...about,
});

/** Name of this boot; empty where the kernel does not show it. */
export const bootOf = (tree: HostTree): string => {
  const text = tree.text('/proc/sys/kernel/random/boot_id');
  return text instanceof SyscallError ? '' : text.trim();
};

/** A device as it is now, with the module that has to be there when it is to be so again. */
export const journalledDevice = (tree: HostTree, {member, target, before}: PlannedDevice): JournalDevice => {
  const module = before.driver === null ? null : tree.link(`${DRIVERS}/${before.driver}/module`);
  return {
    ...target,
    group: member.group?.id ?? null,
    original: before,
    module:
      module === null || module instanceof SyscallError ? null : module.slice(module.lastIndexOf('/') + 1),
  };
};

/** The node of a group as it is now; none when VFIO has no device of the group yet. */
export const journalledNode = (tree: HostTree, nodes: Nodes, group: number): JournalNode[] => {
  const path = readGroupNodes(tree).find((node) => node.group === group)?.path;
  const owner = path === undefined ? null : nodes.owner(path);
  return path === undefined || owner === null ? [] : [{path, ...owner}];
};
