import type {FileId} from '../vfio/file-node.js';
import type {Container} from '../vfio/group-file.js';
import type {ReachedVm} from '../vm/reach-owner.js';
import type {FileOutcome, Outcome} from './apply.js';
import {fileIdentity, remarks, vmIdentity, type ChangeDocument, type Remark} from './change-document.js';
import {vmCoherency, type FileCoherency, type Registration} from './coherency.js';
import {groupWithId, type HeldFile, type VmFacts} from './facts.js';
import {asDecided, inDoubt, isInDoubt} from './in-doubt.js';
import {anyLooks, looksAgain} from './looks-again.js';
import {describeStep, type Plan, type PlannedFile} from './plan.js';

/** What is to be changed. */
export type Change =
  | {command: 'create'; ifMissing: boolean}
  | {command: 'add'; files: readonly FileId[]; container: Container | undefined}
  | {command: 'delete'; files: readonly FileId[]}
  | {
      command: 'attach';
      files: readonly FileId[];
      container: Container | undefined;
      /** What to do for a VM that has no kvm-vfio device. */
      create: 'if-missing' | 'never';
    }
  | {command: 'detach'; files: readonly FileId[] | 'all'; closeDevice: boolean};

/** A file that was asked for, with what KVM learns of it. */
export interface Target extends PlannedFile, FileCoherency {}

/** All that is known of one change. */
export interface Account {
  vm: ReachedVm;
  change: Change;
  facts: VmFacts;
  targets: readonly Target[];
  plan: Plan;
  /** Null for a dry run. */
  outcome: Outcome | null;
}

/** What is told of a change: as far as the kernel's answers say, and as far as can be told without them. */
export const documentOf = (account: Account): ChangeDocument => {
  const {vm, change, facts, targets, plan, outcome} = account;
  const {kernel} = facts.host;
  const [before, after] = registrations(account);
  return {
    schemaVersion: 1,
    command: change.command,
    dryRun: outcome === null,
    changed: outcome === null ? wouldChange(plan) : outcome.changed,
    vm: vmIdentity(vm),
    via: vm.way,
    device: deviceOf(plan, outcome),
    files: targets.map(({node, name, fd, verdict, confidence}) => ({
      ...fileIdentity(node),
      fd: outcome?.files.has(name) === true ? (outcome.files.get(name)?.fd ?? null) : fd,
      outcome: outcome === null ? 'planned' : (outcome.files.get(name)?.outcome ?? 'absent'),
      verdict,
      confidence,
    })),
    steps: plan.steps.map(describeStep),
    before: vmCoherency(before, kernel, facts.cpu),
    after: vmCoherency(after, kernel, facts.cpu),
    warnings: [...remarks(facts.host.warnings), ...warningsOf(account)],
  };
};

const deviceOf = ({device, steps}: Plan, outcome: Outcome | null): ChangeDocument['device'] => {
  const does = (action: string): boolean => steps.some((step) => step.action === action);
  if (outcome === null) {
    const state = does('create-device')
      ? 'to-be-created'
      : does('close-device')
        ? 'to-be-closed'
        : device === null
          ? 'none'
          : 'found';
    return {fd: device, state};
  }
  const state = outcome.created
    ? 'created'
    : outcome.closed
      ? 'closed'
      : outcome.device === null
        ? 'none'
        : 'found';
  return {fd: outcome.device, state};
};

/** What was registered before and is after, each as far as it can be known; the kernel's answers tell more. */
const registrations = (account: Account): [Registration[], Registration[]] => {
  const {change, facts, targets, plan, outcome} = account;
  // without a device nothing is registered, and what was never open in the owner cannot be either
  const noneBefore = plan.device === null && !facts.ambiguous;
  const others = facts.held
    .filter(({fd}) => !targets.some((file) => file.fd === fd))
    .map((held): HeldFile => ({...held, registered: noneBefore ? false : held.registered}));
  const before = targets.map((file): Registration => {
    const held = facts.held.find(({fd}) => fd === file.fd);
    const answer = outcome?.files.get(file.name)?.outcome;
    const known = answer === undefined ? null : WAS_REGISTERED[answer];
    const registered = known ?? (noneBefore || held === undefined ? false : held.registered);
    return held === undefined ? {...file, registered} : {...asDecided(held), registered};
  });
  const registers = change.command === 'attach' || change.command === 'add';
  // KVM looks at all files anew when one is added or deleted, and only then
  const looks = looksOf(account) === true;
  const after = targets.map((file, index): Registration => ({
    ...(looks ? file : (before[index] ?? file)),
    registered: registers,
  }));
  const closed = plan.steps.some(({action}) => action === 'close-device');
  return [
    [...others.map(asDecided), ...before],
    closed ? [] : [...(looks ? others : others.map(asDecided)), ...after],
  ];
};

/** Whether KVM looks at all files again, by its answers, or by those that are possible; null when that is not known. */
const looksOf = ({facts, plan, outcome}: Account): boolean | null => {
  const {release} = facts.host.kernel;
  if (outcome !== null)
    return anyLooks([...outcome.files.values()].map(({outcome: answer}) => looksAgain(answer, release)));
  return anyLooks(
    plan.steps.map((step) => {
      if (step.action !== 'add' && step.action !== 'delete') return false;
      const held = facts.held.find(({fd}) => fd === step.file.fd);
      // where an answer that changes nothing is a failure, only the other one is predicted
      if (!step.settles || held === undefined || plan.device === null) return true;
      const answers: FileOutcome[] = step.action === 'add' ? ['added', 'already'] : ['absent', 'deleted'];
      const possible = answers.filter(
        (_, index) => held.registered === null || held.registered === (index === 1),
      );
      const looks = possible.map((answer) => looksAgain(answer, release));
      return looks.every((each) => each === looks[0]) ? (looks[0] ?? null) : null;
    }),
  );
};

const WAS_REGISTERED: Record<FileOutcome, boolean> = {
  added: false,
  already: true,
  deleted: true,
  absent: false,
};

/** Whether a plan changes something whatever the kernel answers; null when the answer decides. */
const wouldChange = ({steps}: Plan): boolean | null => {
  if (steps.length === 0) return false;
  const sure = steps.some(({action}) => ['create-device', 'give', 'close', 'close-device'].includes(action));
  return sure ? true : null;
};

/** What leaves open what KVM takes the VM for afterwards. */
const doubts = (account: Account): HeldFile[] => {
  const {facts, plan} = account;
  const none = plan.device === null && !facts.ambiguous;
  return none || looksOf(account) === true ? [] : facts.held.filter(isInDoubt);
};

const warningsOf = (account: Account): Remark[] => {
  const {vm, facts, targets, plan} = account;
  const warnings: Remark[] = doubts(account).map(inDoubt);
  if (vm.way === 'inject' && plan.steps.some(({action}) => action === 'create-device')) {
    warnings.push({
      code: 'UNAWARE_VMM',
      message: `a VMM that creates its kvm-vfio device with its first VFIO device, as QEMU does, is answered EBUSY then: ${vm.comm} of process ${vm.pid} does not know of this one`,
    });
  }
  for (const {node, fd, container} of targets) {
    if (node.kind !== 'group') continue;
    const id = node.group;
    const group = groupWithId(facts, id);
    const asksContainer = facts.host.kernel.coherencyRule !== 'devices' && fd === null;
    if (
      asksContainer &&
      container === 'none' &&
      group.snoopControl.verdict !== 'enforced' &&
      plan.steps.length > 0
    ) {
      warnings.push({
        code: 'NO_CONTAINER',
        message: `this kernel takes group ${id} for coherent because it is in no container, whatever its IOMMU does (see --container)`,
      });
    }
  }
  return warnings;
};
