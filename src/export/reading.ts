import {diagnose, type DoctorDocument} from '../doctor/doctor.js';
import {readMachine} from '../doctor/machine.js';
import {Failure} from '../failure.js';
import {groupsDocument, type GroupsDocument} from '../groups/groups-document.js';
import {openHost, wholeHost, type Host} from '../iommu/host.js';
import {listVms, type VmsDocument} from '../kvm-vfio/vms.js';
import {DirectoryTree} from '../host/directory-tree.js';
import {SyscallError} from '../linux/errno.js';
import type {HostTree} from '../host/tree.js';
import {readCdevNodes, type CdevNode} from '../vfio/cdev-node.js';
import {examine} from '../vfio/eligibility/examined.js';
import type {Examined} from '../vfio/eligibility/check.js';
import {RememberedFacts} from '../vfio/eligibility/remembered-facts.js';
import {ownNodeName} from './node-name.js';
import {readGroupNodes, type GroupNode} from '../vfio/group-node.js';
import {holdersAmong, readOpenNodes} from '../vfio/holders.js';

/** What a format may ask for beside the groups; `details` are override, NUMA node and reset methods of devices. */
export type ReadingPart = 'details' | 'doctor' | 'vms' | 'holders';

/** A machine at one moment, with what could not be read of it. */
export interface Reading {
  kvfioVersion: string;
  /** Seconds since 1970. */
  time: number;
  /** Name of the machine as a node of Kubernetes; null where that is unknown. */
  node: string | null;
  groups: GroupsDocument;
  /** The nodes that VFIO has made. */
  nodes: {groups: readonly GroupNode[]; cdevs: readonly CdevNode[]};
  /** Null where it was not asked for, or is in `unread`. So are the next two. */
  doctor: DoctorDocument | null;
  vms: VmsDocument | null;
  holders: Holders | null;
  /** The parts that were asked for and could not be read. */
  unread: Unread[];
}

export interface Unread {
  part: Exclude<ReadingPart, 'details'>;
  /** Why, as one sentence. */
  reason: string;
}

/** Which processes have the nodes of a group open. */
export interface Holders {
  /** Process ids by group; a group that is not here is held by none that could be looked into. */
  byGroup: ReadonlyMap<number, readonly number[]>;
  /** How many processes could not be looked into. */
  hidden: number;
}

/** Reads a machine once, and each part from that. Whatever a part throws as a failure becomes an entry of `unread`. */
export const takeReading = async (
  tree: HostTree,
  {
    kvfioVersion,
    parts,
    node = ownNodeName(tree),
  }: {kvfioVersion: string; parts: readonly ReadingPart[]; node?: string | null},
): Promise<Reading> => {
  const time = Date.now() / 1000;
  const opened = openHost(tree, {
    details: parts.includes('details'),
    regions: true,
    names: new DirectoryTree(),
  });
  const examined = rememberingly(examine(tree, opened));
  const host = wholeHost(opened);
  const nodes = {groups: readGroupNodes(tree), cdevs: readCdevNodes(tree)};
  const unread: Unread[] = [];
  const read = async <T>(part: Unread['part'], look: () => T | Promise<T>): Promise<T | null> => {
    if (!parts.includes(part)) return null;
    try {
      return await look();
    } catch (error) {
      if (!(error instanceof Failure) && !(error instanceof SyscallError)) throw error;
      unread.push({part, reason: error.message});
      return null;
    }
  };
  const doctor = await read('doctor', () => examineHost(tree, host, examined));
  const vms = await read('vms', () => listVms(ownRoot(tree, 'kvfio did not look for VMs.')));
  const holders = await read('holders', () => readHolders(tree, nodes));
  // last, because it makes the groups its own
  const groups = groupsDocument(host, null, {explain: false, regions: true, examined});
  return {kvfioVersion, time, node, groups, nodes, doctor, vms, holders, unread};
};

/** The doctor asks of each group what the document of the groups asks. */
const rememberingly = (examined: Examined): Examined => ({
  ...examined,
  facts: new RememberedFacts(examined.facts),
});

const examineHost = async (tree: HostTree, host: Host, examined: Examined): Promise<DoctorDocument> =>
  diagnose(null, await readMachine(tree, null, {host, examined}));

const readHolders = (tree: HostTree, {groups, cdevs}: Reading['nodes']): Holders => {
  ownRoot(tree, 'kvfio did not look for processes that hold groups.');
  if (groups.length + cdevs.length === 0) return {byGroup: new Map(), hidden: 0};
  const open = readOpenNodes();
  const byGroup = new Map<number, number[]>();
  for (const {group, device} of [...groups, ...cdevs]) {
    if (group === null) continue;
    const pids = holdersAmong(open, [device]).map(({pid}) => pid);
    if (pids.length > 0) byGroup.set(group, [...new Set([...(byGroup.get(group) ?? []), ...pids])]);
  }
  return {byGroup, hidden: open.hidden};
};

/**
 * The root to look for processes below.
 *
 * @throws Failure for a machine other than this, whose processes cannot be looked into
 */
const ownRoot = (tree: HostTree, what: string): string => {
  if (tree.origin.kind === 'host') return '';
  throw new Failure({
    code: 'NOT_THIS_MACHINE',
    kind: 'cannotDecide',
    what,
    why: 'Only this machine shows its processes, and --sysroot names another.',
    hint: 'Run "kvfio export" on that machine.',
  });
};
