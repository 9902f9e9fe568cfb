import {Failure} from '../failure.js';
import type {Group} from '../iommu/group.js';
import {DirectoryTree} from '../linux/directory-tree.js';
import {checkFree, openGroup, requireNode, type Container} from '../vfio/group-file.js';
import type {GroupNode} from '../vfio/group-node.js';
import {reachVm, type ReachedVm, type ReachOptions, type VmPlace} from '../vm/reach-owner.js';
import {documentOf, type Change, type Target} from './account.js';
import {apply, type Outcome} from './apply.js';
import type {ChangeDocument} from './change-document.js';
import {groupCoherency} from './coherency.js';
import {certainDevice, groupWithId, readFacts, settleIfPossible, type VmFacts} from './facts.js';
import {
  addPlan,
  attachPlan,
  createPlan,
  deletePlan,
  detachPlan,
  type Plan,
  type PlannedFile,
} from './plan.js';

export interface ChangeOptions extends ReachOptions {
  /** The kvm-vfio device's descriptor in the owner, where that has to be told. */
  deviceFd: number | undefined;
  /** Change nothing, and say what would be done and be true then. */
  dryRun: boolean;
}

/**
 * Changes the kvm-vfio device of a VM wholly or not at all.
 *
 * @throws {@link Failure}
 */
export const changeVm = async (
  place: VmPlace,
  change: Change,
  options: ChangeOptions,
): Promise<ChangeDocument> => {
  using vm = await reachVm(place, options);
  if (options.dryRun) settleIfPossible(vm);
  else vm.settle();
  const tree = new DirectoryTree();
  const groups = 'groups' in change && change.groups !== 'all' ? [...new Set(change.groups)] : [];
  const facts = readFacts(vm, {groups, deviceFd: options.deviceFd, tree});
  const wanted =
    'groups' in change && change.groups === 'all' ? facts.held.map(({group}) => group.id) : groups;
  const targets = wanted.map((id) => target(facts, id, change));
  const plan = planOf(change, facts, targets);
  if (options.dryRun) {
    for (const step of plan.steps)
      if (step.action === 'open') checkFree(step.file.node, groupOf(facts, step.file));
    return documentOf({vm, change, facts, targets, plan, outcome: null});
  }
  const outcome = execute(vm, plan, facts);
  return documentOf({vm, change, facts, targets, plan, outcome});
};

const target = (facts: VmFacts, id: number, change: Change): Target => {
  const held = facts.held.find(({group}) => group.id === id);
  if (held !== undefined) {
    const {node, fd, verdict, confidence} = held;
    return {
      id,
      name: `group ${id}`,
      node,
      fd,
      given: held.given === true,
      container: 'none',
      verdict,
      confidence,
    };
  }
  const group = groupWithId(facts, id);
  // what the owner has not open need not be VFIO's to be detached
  const node = change.command === 'detach' ? nodeless(id) : requireNode(facts.nodes, group);
  const container = containerFor(facts, node, change);
  const {coherencyRule} = facts.host.kernel;
  const coherency = groupCoherency(group, coherencyRule, container);
  return {id, name: `group ${id}`, node, fd: null, given: true, container, ...coherency};
};

/** Where the kernel asks the container, a group needs one to be judged by its IOMMU. */
const containerFor = ({host}: VmFacts, node: GroupNode, change: Change): Container => {
  if (change.command !== 'attach' && change.command !== 'add') return 'none';
  if (change.container !== undefined) return change.container;
  return host.kernel.coherencyRule === 'devices' || node.path.includes('noiommu') ? 'none' : 'type1';
};

const planOf = (change: Change, facts: VmFacts, files: readonly Target[]): Plan => {
  switch (change.command) {
    case 'create':
      return createPlan({device: change.ifMissing ? certainDevice(facts) : facts.device}, change.ifMissing);
    case 'attach': {
      const device = certainDevice(facts);
      if (device === null && change.create === 'never') throw noDevice();
      return attachPlan({device, files});
    }
    case 'add':
      return addPlan({device: requireDevice(facts), files});
    case 'delete':
      return deletePlan({device: requireDevice(facts), files});
    case 'detach':
      return detachPlan({device: certainDevice(facts), files}, change.closeDevice);
  }
};

const requireDevice = (facts: VmFacts): number => {
  const device = certainDevice(facts);
  if (device === null) throw noDevice();
  return device;
};

const execute = (vm: ReachedVm, plan: Plan, facts: VmFacts): Outcome => {
  using owner = plan.steps.length === 0 ? null : vm.open();
  if (owner === null) {
    return {device: plan.device, created: false, closed: false, changed: false, files: new Map()};
  }
  return apply(plan, {
    owner,
    vmFd: vm.vmFd,
    open: (file) => {
      vm.checkTrust();
      return openGroup(file.node, groupOf(facts, file), file.container);
    },
  });
};

const groupOf = (facts: VmFacts, {node}: PlannedFile): Group => groupWithId(facts, node.group);

const nodeless = (group: number): GroupNode => ({group, path: `/dev/vfio/${group}`, device: 0});

const noDevice = (): Failure =>
  new Failure({
    code: 'NO_DEVICE',
    kind: 'notFound',
    what: 'The VM has no kvm-vfio device.',
    why: 'Its owner has no descriptor of one.',
    hint: 'Make one with "kvfio create", or use "kvfio attach", which does so.',
  });
