/** A thread that helps to read the groups of a large machine (read-groups.ts), which adds the names of devices. */
import {workerData} from 'node:worker_threads';
import {DirectoryTree} from '../host/directory-tree.js';
import {Attributes} from '../host/attributes.js';
import {Interned} from './interned.js';
import {PciIds} from '../pci/ids.js';
import {claimNear, leaveGroups, partsOf, readPart, send, type HelperTask} from './read-groups.js';

const task = workerData as HelperTask;
const context = {
  ...task.facts,
  attributes: new Attributes(new DirectoryTree(task.root)),
  ids: PciIds.NONE,
  interned: new Interned(),
  hops: new Map<never, never>(),
  regionsOf: new Map<never, never>(),
};
const count = partsOf(task.ids);
try {
  for (let at = claimNear(task.progress); at < count; at = claimNear(task.progress))
    send(task, at, readPart(context, task.ids, at));
} finally {
  leaveGroups(task.progress);
}
