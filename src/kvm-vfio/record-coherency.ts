import {Failure} from '../failure.js';
import type {Group} from '../iommu/group.js';
import {SyscallError} from '../linux/errno.js';
import {writeCoherencyRecord} from './coherency-record.js';
import type {FileNode} from '../vfio/file-node.js';
import {isMarkedFileOf} from '../vfio/kvfio-mark.js';
import type {Owner} from '../owner/owner.js';
import type {Target} from './change-report.js';
import type {Outcome} from './apply.js';
import {devicesOf, groupWithId, type HeldFile, type VmState} from './vm-state.js';
import {isStale} from './stale-coherency.js';
import {updatesCoherency} from './updates-coherency.js';
import {rulesOf} from './model/rules.js';

/**
 * Records VFIO's answer to KVM about each file that kvfio handed over, after a change had it look at all of them. Files of
 * the VMM's own are left alone.
 *
 * A caller that may not or cannot record it goes on without: then "kvfio status" does not know it.
 */
export const recordCoherency = (
  owner: Owner,
  {files}: Outcome,
  {facts, targets}: {facts: VmState; targets: readonly Target[]},
): void => {
  const looked = updatesCoherency(
    [...files.values()].map(({outcome}) => outcome),
    rulesOf(facts.host.kernel),
  );
  if (looked === false) return;
  const others = facts.held.filter(({fd}) => !targets.some((target) => target.fd === fd));
  for (const file of [...targets, ...others]) {
    const answer = files.get(file.name);
    const fd = answer === undefined ? file.fd : answer.fd; // null when it was closed, and the number may be another's
    if (fd === null || answer?.outcome === 'deleted') continue;
    const held = facts.held.find((each) => each.fd === fd);
    if (looked === true) note(owner, facts, {...file, fd});
    else if (held !== undefined) noteDoubt(owner, facts, held);
  }
};

/** Records VFIO's answers to KVM about all files that the owner has, after KVM looked and nothing else changed. */
export const recordHeld = (owner: Owner, facts: VmState): void => {
  for (const file of facts.held) note(owner, facts, file);
};

/** Notes doubt in each record that differs from VFIO's present answer, because it is unknown whether KVM has judged again. */
export const recordDoubts = (owner: Owner, facts: VmState): void => {
  for (const file of facts.held) noteDoubt(owner, facts, file);
};

const noteDoubt = (owner: Owner, facts: VmState, file: HeldFile): void => {
  if (isStale(file)) note(owner, facts, {...file, verdict: 'unknown'});
};

type Noted = Pick<HeldFile, 'node' | 'fd' | 'given' | 'verdict'> & {group?: Group | null};

const note = (owner: Owner, facts: VmState, {node, fd, given, verdict, ...rest}: Noted): void => {
  if (given !== true) return;
  try {
    using descriptor = owner.takeDescriptor(fd);
    if (!isMarkedFileOf(descriptor, node)) return;
    const group = rest.group === undefined ? groupOf(facts, node) : rest.group;
    writeCoherencyRecord(descriptor, verdict, devicesOf({node, group}));
  } catch (error) {
    if (!(error instanceof SyscallError || error instanceof Failure)) throw error;
  }
};

const groupOf = (facts: VmState, node: FileNode): Group | null =>
  node.group === null ? null : groupWithId(facts, node.group);
