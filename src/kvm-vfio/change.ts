import {Failure} from '../failure.js';
import type {Descriptor} from '../linux/descriptor.js';
import {DirectoryTree} from '../host/directory-tree.js';
import {checkCdevFree, openCdev, requireCdevNode, type CdevUse} from '../vfio/cdev-file.js';
import type {CdevNode} from '../vfio/cdev-node.js';
import {fileName, type FileId} from '../vfio/file-node.js';
import {requireAssignable} from '../vfio/eligibility/require-assignable.js';
import {checkGroupFree, openGroup, requireGroupNode, type Container} from '../vfio/group-file.js';
import type {GroupNode} from '../vfio/group-node.js';
import type {Owner} from '../owner/owner.js';
import {reachVm, type ReachedVm, type ReachOptions, type VmPlace} from '../owner/reach-owner.js';
import {reportDocument, type RequestedChange, type Target} from './change-report.js';
import {apply, type Outcome} from './apply.js';
import type {ChangeDocument} from './change-document.js';
import {
  certainDevice,
  deviceWithAddress,
  groupWithId,
  readVmState,
  type HeldFile,
  type VmState,
} from './vm-state.js';
import {predictedRefusal} from './predicted-refusal.js';
import {FdGuard, type FoundFile} from './fd-guard.js';
import {rulesOf} from './model/rules.js';
import {deviceCoherency, groupCoherency} from './model/enforced-coherent.js';
import {recordCoherency, recordDoubts} from './record-coherency.js';
import {lockOwner} from './owner-lock.js';
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
  /** The kvm-vfio device's descriptor in the owner, where it has to be named. */
  deviceFd: number | undefined;
  /** Change nothing, and say what would be done and be true then. */
  dryRun: boolean;
  /** Called when everything is ready, and from here on something may be changed. */
  beforeChange?: () => void;
}

/**
 * Changes the kvm-vfio device of a VM wholly or not at all.
 *
 * @throws {@link Failure}
 */
export const changeVm = async (
  place: VmPlace,
  change: RequestedChange,
  options: ChangeOptions,
): Promise<ChangeDocument> => {
  using vm = await reachVm(place, options);
  // also to look ahead: what another kvfio is changing is not what there will be
  const turn = await lockOwner(vm, options.deadline);
  try {
    return changeReached(vm, change, options);
  } finally {
    turn?.[Symbol.dispose]();
  }
};

const changeReached = (vm: ReachedVm, change: RequestedChange, options: ChangeOptions): ChangeDocument => {
  const tree = new DirectoryTree();
  const named = 'files' in change && change.files !== 'all' ? distinct(change.files) : [];
  const facts = readVmState(vm, {files: named, deviceFd: options.deviceFd, tree});
  const targets =
    'files' in change && change.files === 'all'
      ? facts.held.map((file) => heldTarget(file))
      : named.flatMap((id) => targetsOf(facts, id, change));
  const plan = planOf(change, facts, targets);
  if (options.dryRun) {
    lookAhead(vm, plan, {facts, targets});
    return reportDocument({vm, change, facts, targets, plan, outcome: null});
  }
  options.beforeChange?.();
  const outcome = execute(vm, plan, {facts, targets});
  return reportDocument({vm, change, facts, targets, plan, outcome});
};

const distinct = (ids: readonly FileId[]): FileId[] => [
  ...new Map(ids.map((id) => [fileName(id), id])).values(),
];

/** All files that the owner has open of what was named; one to be opened when it has none. */
const targetsOf = (facts: VmState, id: FileId, change: RequestedChange): Target[] => {
  const held = facts.held.filter(({node}) => fileName(node) === fileName(id));
  if (held.length > 0) return held.map((file) => heldTarget(file));
  return [id.kind === 'group' ? groupTarget(facts, id.group, change) : cdevTarget(facts, id.address, change)];
};

const heldTarget = ({name, node, fd, given, verdict, confidence}: HeldFile): Target => ({
  name,
  node,
  fd,
  given: given === true,
  container: 'none',
  verdict,
  confidence,
});

const groupTarget = (facts: VmState, id: number, change: RequestedChange): Target => {
  const group = groupWithId(facts, id);
  // what the owner has not open need not be VFIO's to be detached
  const {examined} = facts;
  const node = change.command === 'detach' ? nodeless(id) : requireGroupNode(facts.nodes, group, examined);
  if (change.command === 'attach') requireAssignable(examined, group);
  const container = containerFor(facts, node, change);
  const {coherencyRule} = facts.host.kernel;
  const coherency = groupCoherency(group, coherencyRule, container);
  return {name: fileName(node), node, fd: null, given: true, container, ...coherency};
};

const cdevTarget = (facts: VmState, address: string, change: RequestedChange): Target => {
  const {device, group} = deviceWithAddress(facts, address);
  const {examined} = facts;
  const node =
    change.command === 'detach'
      ? cdevless(address, group.id)
      : requireCdevNode(facts.nodes, device, {group, examined});
  if (change.command === 'attach') requireAssignable(examined, group, address);
  const coherency = deviceCoherency(device);
  return {name: fileName(node), node, fd: null, given: true, container: 'none', ...coherency};
};

/** Where the kernel asks the container, a group needs one to be judged by its IOMMU. */
const containerFor = ({host}: VmState, node: GroupNode, change: RequestedChange): Container => {
  if (change.command !== 'attach' && change.command !== 'add') return 'none';
  if (change.container !== undefined) return change.container;
  return host.kernel.coherencyRule === 'devices' || node.path.includes('noiommu') ? 'none' : 'type1';
};

const planOf = (change: RequestedChange, facts: VmState, files: readonly Target[]): Plan => {
  const {closeReleases} = rulesOf(facts.host.kernel);
  switch (change.command) {
    case 'create':
      return createPlan(
        {device: change.ifMissing ? certainDevice(facts) : facts.device, closeReleases},
        change.ifMissing,
      );
    case 'attach': {
      const device = certainDevice(facts);
      if (device === null && change.create === 'never') throw noDevice();
      return attachPlan({device, files, closeReleases});
    }
    case 'add':
      return addPlan({device: requireDevice(facts), files});
    case 'delete':
      return deletePlan({device: requireDevice(facts), files});
    case 'detach':
      return detachPlan({device: certainDevice(facts), files}, change.closeDevice);
  }
};

const requireDevice = (facts: VmState): number => {
  const device = certainDevice(facts);
  if (device === null) throw noDevice();
  return device;
};

/** Throws what {@link execute} would, as far as that is seen without stopping or changing anything. */
const lookAhead = (
  vm: ReachedVm,
  plan: Plan,
  {facts, targets}: {facts: VmState; targets: readonly Target[]},
): void => {
  using owner = plan.steps.length === 0 ? null : vm.open();
  owner?.foresee?.();
  if (owner !== null) FdGuard.of(owner, foundFiles(plan, facts))[Symbol.dispose]();
  for (const step of plan.steps) if (step.action === 'open') checkFree(step.file, facts, vm.pid);
  const refusal = predictedRefusal({facts, targets, plan}, vm.way);
  if (refusal !== null) throw refusal;
};

const execute = (
  vm: ReachedVm,
  plan: Plan,
  {facts, targets}: {facts: VmState; targets: readonly Target[]},
): Outcome => {
  using owner = plan.steps.length === 0 ? null : vm.open();
  if (owner === null) {
    return {device: plan.device, created: false, closed: false, changed: false, files: new Map()};
  }
  using known = FdGuard.of(owner, foundFiles(plan, facts));
  const outcome = doubtful(owner, facts, () =>
    apply(plan, {
      owner,
      vmFd: vm.vmFd,
      check: (fd) => {
        known.check(fd);
      },
      open: (file) => openFile(file, facts, vm.pid),
    }),
  );
  recordCoherency(owner, outcome, {facts, targets});
  return outcome;
};

/** What fails may have had KVM look: an ADD that was undone did, twice. */
const doubtful = <T>(owner: Owner, facts: VmState, work: () => T): T => {
  try {
    return work();
  } catch (error) {
    recordDoubts(owner, facts);
    throw error;
  }
};

/** What a plan names by its number: nothing that it is to make first. */
const foundFiles = ({device, files}: Plan, {held}: VmState): FoundFile[] => [
  ...(device === null ? [] : [{fd: device, kind: 'kvm-vfio' as const}]),
  ...held
    .filter(({fd}) => files.some((file) => file.fd === fd))
    .map(({fd, gone, node}) => ({fd, kind: {device: gone ? null : node.device}})),
];

const openFile = ({node, container}: PlannedFile, facts: VmState, owner: number): Descriptor =>
  node.kind === 'group'
    ? openGroup(node, {group: groupWithId(facts, node.group), examined: facts.examined, container})
    : openCdev(node, useOf(node, facts, owner));

const checkFree = ({node}: PlannedFile, facts: VmState, owner: number): void => {
  if (node.kind === 'group') checkGroupFree(node, groupWithId(facts, node.group), facts.examined);
  else checkCdevFree(node, useOf(node, facts, owner));
};

const useOf = ({address}: CdevNode, facts: VmState, owner: number): CdevUse => ({
  group: deviceWithAddress(facts, address).group,
  examined: facts.examined,
  nodes: facts.nodes,
  owner,
});

const nodeless = (group: number): GroupNode => ({
  kind: 'group',
  group,
  path: `/dev/vfio/${group}`,
  device: 0,
});

const cdevless = (address: string, group: number): CdevNode => ({
  kind: 'cdev',
  address,
  group,
  path: '/dev/vfio/devices',
  device: 0,
});

const noDevice = (): Failure =>
  new Failure({
    code: 'NO_DEVICE',
    kind: 'notFound',
    what: 'The VM has no kvm-vfio device.',
    why: 'Its owner has no descriptor of one.',
    hint: 'Make one with "kvfio create", or use "kvfio attach", which does so.',
  });
