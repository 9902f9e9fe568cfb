import {Failure} from '../failure.js';
import type {Group} from '../iommu/group.js';
import {SyscallError} from '../linux/errno.js';
import {noteDecision} from '../vfio/decision.js';
import {isMarkedFileOf} from '../vfio/kvfio-mark.js';
import type {Owner} from '../vm/owner.js';
import type {Target} from './account.js';
import type {Outcome} from './apply.js';
import {devicesOf, groupWithId, type VmFacts} from './facts.js';

/**
 * Notes what KVM has been told of each file that kvfio handed over, after a change had it look at all of them. Files of
 * the VMM's own are left alone.
 *
 * Whoever may not note something, or cannot, goes without: then "kvfio status" does not know it.
 */
export const noteDecisions = (
  owner: Owner,
  {files}: Outcome,
  {facts, targets}: {facts: VmFacts; targets: readonly Target[]},
): void => {
  const looked = [...files.values()].some(({outcome}) => outcome === 'added' || outcome === 'deleted');
  if (!looked) return;
  const others = facts.held.filter(({fd}) => !targets.some((target) => target.fd === fd));
  for (const file of [...targets, ...others]) {
    const fd = files.get(file.name)?.fd ?? file.fd;
    const deleted = files.get(file.name)?.outcome === 'deleted';
    if (file.given !== true || fd === null || deleted) continue;
    try {
      using descriptor = owner.takeDescriptor(fd);
      if (!isMarkedFileOf(descriptor, file.node)) continue;
      const group = 'group' in file ? file.group : groupOf(facts, file);
      noteDecision(descriptor, file.verdict, devicesOf({node: file.node, group}));
    } catch (error) {
      if (!(error instanceof SyscallError || error instanceof Failure)) throw error;
    }
  }
};

const groupOf = (facts: VmFacts, {node}: Target): Group | null =>
  node.group === null ? null : groupWithId(facts, node.group);
