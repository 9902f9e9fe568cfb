import {assess} from '../vfio/eligibility/assess.js';
import type {SelectedDevice} from '../pci/selector/select-device.js';
import type {FileId} from '../vfio/file-node.js';
import type {Container} from '../vfio/group-file.js';
import type {ReachedVm} from '../owner/reach-owner.js';
import type {Outcome} from './apply.js';
import {fileIdentity, remarks, vmIdentity, type ChangeDocument, type Remark} from './change-document.js';
import {coherencyInWords} from './coherency.js';
import {simulate, type Simulation} from './simulate.js';
import {groupWithId, type HeldFile, type VmState} from './vm-state.js';
import {staleRemark, isStale} from './stale-coherency.js';
import type {FileCoherency} from './model/enforced-coherent.js';
import {describePlanStep, type Plan, type PlannedFile} from './plan.js';
import {rulesOf} from './model/rules.js';
import {mayHaveClosedOne, UNSEEN_DEVICE} from './closed-device.js';

/** What is to be changed. */
export type RequestedChange =
  | {command: 'create'; ifMissing: boolean}
  | ({command: 'add'; container: Container | undefined} & NamedFiles)
  | ({command: 'delete'} & NamedFiles)
  | ({
      command: 'attach';
      container: Container | undefined;
      /** What to do for a VM that has no kvm-vfio device. */
      create: 'if-missing' | 'never';
    } & NamedFiles)
  | ({command: 'detach'; closeDevice: boolean} & (NamedFiles | {files: 'all'}));

/** Files of VFIO, and what the devices among them were named by, for the document. */
export interface NamedFiles {
  files: readonly FileId[];
  selected?: readonly SelectedDevice[];
}

/** A file that was asked for, with what KVM learns of it. */
export interface Target extends PlannedFile, FileCoherency {}

/** All that is known of one change. */
export interface ChangeReport {
  vm: ReachedVm;
  change: RequestedChange;
  facts: VmState;
  targets: readonly Target[];
  plan: Plan;
  /** Null for a dry run. */
  outcome: Outcome | null;
}

/** The report of a change, by the kernel's answers, and where they are missing by what kvfio can determine without them. */
export const reportDocument = (report: ChangeReport): ChangeDocument => {
  const {vm, change, facts, targets, plan, outcome} = report;
  const {kernel} = facts.host;
  const simulation = simulate(report);
  return {
    schemaVersion: 1,
    command: change.command,
    dryRun: outcome === null,
    changed: outcome === null ? wouldChange(plan) : outcome.changed,
    selected: 'selected' in change ? [...(change.selected ?? [])] : [],
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
    steps: plan.steps.map(describePlanStep),
    before: coherencyInWords(simulation.before, kernel, facts.cpu),
    after: coherencyInWords(simulation.after, kernel, facts.cpu),
    warnings: [...remarks(facts.host.warnings), ...warningsOf(report, simulation)],
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

/** Whether a plan changes something whatever the kernel answers; null when the answer decides. */
const wouldChange = ({steps}: Plan): boolean | null => {
  if (steps.length === 0) return false;
  const sure = steps.some(({action}) => ['create-device', 'give', 'close', 'close-device'].includes(action));
  return sure ? true : null;
};

/** What leaves open what KVM takes the VM for afterwards. */
const doubts = ({facts, plan}: ChangeReport, {looked}: Simulation): HeldFile[] => {
  const none = plan.device === null && !facts.ambiguous;
  return none || looked === true ? [] : facts.held.filter(isStale);
};

const CLOSED_STAYS: Remark = {
  code: 'CLOSED_DEVICE_STAYS',
  message:
    'closing the kvm-vfio device frees nothing before Linux 6.1.9: until the VM ends it can have no other one, and what is still registered stays so; leave out --close-device',
};

/** What a VMM meets with a file later, or may meet, even if KVM knows of it: the kernel's certain refusals come before. */
const later =
  (facts: VmState) =>
  ({node}: Target): Remark[] => {
    const group = node.group === null ? undefined : facts.host.groups.find(({id}) => id === node.group);
    if (group === undefined) return [];
    const examined = node.kind === 'cdev' ? {...facts.examined, by: 'cdev' as const} : facts.examined;
    return assess(examined, group).group.obstacles.map(({certain, found, cure}) => ({
      code: 'NOT_ASSIGNABLE',
      message: `group ${group.id} ${certain ? 'is of no use to a VM' : 'may be of no use to a VM'}: ${found}${cure === null ? '' : `; ${cure}`}`,
    }));
  };

const warningsOf = (report: ChangeReport, simulation: Simulation): Remark[] => {
  const {vm, change, facts, targets, plan, outcome} = report;
  const warnings: Remark[] = doubts(report, simulation).map(staleRemark);
  if (change.command === 'attach')
    warnings.push(...targets.filter(({fd}) => fd === null).flatMap(later(facts)));
  if (vm.way === 'inject' && plan.steps.some(({action}) => action === 'create-device')) {
    warnings.push({
      code: 'UNAWARE_VMM',
      message: `${vm.comm} (process ${vm.pid}) does not know of this kvm-vfio device: if it creates one itself, as QEMU does with its first VFIO device, KVM answers EBUSY`,
    });
  }
  const {closeReleases} = rulesOf(facts.host.kernel);
  if (!closeReleases && plan.steps.some(({action}) => action === 'close-device')) warnings.push(CLOSED_STAYS);
  if (outcome === null && mayHaveClosedOne(facts, plan.device)) warnings.push(UNSEEN_DEVICE);
  for (const {node, fd, container} of targets) {
    if (node.kind !== 'group') continue;
    const id = node.group;
    const group = groupWithId(facts, id);
    const asksContainer = facts.host.kernel.coherencyRule === 'container' && fd === null;
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
