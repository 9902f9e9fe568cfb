import type {FileOutcome, Outcome} from './apply.js';
import type {VmState} from './vm-state.js';
import {asRecorded} from './stale-coherency.js';
import {DeviceModel, type Answer, type Entry, type VmCoherency} from './model/device.js';
import {rulesOf} from './model/rules.js';
import type {FileCoherency} from './model/enforced-coherent.js';
import {VmModel} from './model/vm.js';
import type {Plan, PlannedFile, PlanStep} from './plan.js';

/** What a change makes of a VM, as far as it can be known. */
export interface Simulation {
  /** What KVM takes the VM for. */
  before: VmCoherency;
  after: VmCoherency;
  /** Whether KVM looks at all files in the course of it; null when that is not known. */
  looked: boolean | null;
}

export interface SimulationInput {
  facts: VmState;
  targets: readonly (PlannedFile & FileCoherency)[];
  plan: Plan;
  /** What the kernel answered; null for a dry run, where the model does. */
  outcome: (Pick<Outcome, 'files'> & Partial<Pick<Outcome, 'created'>>) | null;
}

/** Runs a plan on the model of the VM's device, with the kernel's answers where there are some. */
export const simulate = (parts: SimulationInput): Simulation => {
  const vm = vmBefore(parts);
  const before = vm.coherency;
  let looked: boolean | null = false;
  for (const step of parts.plan.steps) {
    perform(step, vm, answerTo(step, parts));
    if (step.action !== 'close-device' && vm.device !== null) looked = vm.device.looked;
  }
  return {before, after: vm.coherency, looked};
};

/**
 * The first step that the model refuses for certain, and what the kernel will answer; null when there is none. What is refused and
 * taken for success is none.
 */
export const simulatedRefusal = (parts: SimulationInput): {step: PlanStep; answer: Refused} | null => {
  const vm = vmBefore(parts);
  for (const step of parts.plan.steps) {
    const answer = perform(step, vm, undefined);
    if (answer === null || answer === 'done' || isToleratedNoop(step, answer)) continue;
    // which of several devices is the VM's is not known, and so not whether it has one
    if (answer === 'EBUSY' && parts.facts.ambiguous) continue;
    return {step, answer};
  }
  return null;
};

const isToleratedNoop = (step: PlanStep, answer: Refused): boolean =>
  (step.action === 'add' && step.toleratesNoop && answer === 'EEXIST') ||
  (step.action === 'delete' && step.toleratesNoop && answer === 'ENOENT');

/** What the model may answer other than `done`. */
export type Refused = Exclude<Answer, 'done'> | 'EBUSY';

/** The VM as it was found, with what the answers show of it. */
const vmBefore = ({facts, targets, plan, outcome}: SimulationInput): VmModel<string> => {
  // cdevs came together with the ADD that takes them, even in an older kernel to which a distribution added them
  const rules = {...rulesOf(facts.host.kernel), takesDevices: true};
  const held = new Map(facts.held.map((file) => [keyOf(file), file]));
  const now = new Map([...facts.held, ...targets].map((file) => [keyOf(file), file]));
  const vfio = {
    kindOf: (key: string) => (now.get(key)?.node.kind === 'cdev' ? ('device' as const) : ('group' as const)),
    containerOf: (key: string) => (held.get(key) ?? now.get(key))?.container ?? 'unknown',
    enforcedCoherent: (key: string) => now.get(key)?.verdict ?? 'unknown',
  };
  const none = plan.device === null && !facts.ambiguous;
  // without a device nothing is registered, and what was never open in the owner cannot be either
  if (none && (rules.closeReleases || outcome?.created === true)) return new VmModel(rules, vfio);
  const answered = new Map(
    targets.map((file) => [keyOf(file), outcome?.files.get(file.name)?.outcome] as const),
  );
  const entries = facts.held.map((held): Entry<string> => {
    const answer = answered.get(keyOf(held));
    const registered = answer === undefined ? held.registered : WAS_REGISTERED[answer];
    return {file: keyOf(held), registered, lastVerdict: asRecorded(held).verdict};
  });
  return new VmModel(rules, vfio, new DeviceModel(rules, vfio, entries), !none);
};

const keyOf = ({fd, name}: {fd: number | null; name: string}): string => (fd === null ? name : `${fd}`);

const WAS_REGISTERED: Record<FileOutcome, boolean> = {
  added: false,
  already: true,
  deleted: true,
  absent: false,
};

/** @returns the model's answer; null when it depends on what is not known, or the step is not about the device */
const perform = (
  step: PlanStep,
  vm: VmModel<string>,
  answer: Answer | undefined,
): Answer | 'EBUSY' | null => {
  switch (step.action) {
    case 'create-device':
      return vm.createDevice();
    case 'add':
      return vm.device?.add(keyOf(step.file), answer) ?? null;
    case 'delete':
      return vm.device?.delete(keyOf(step.file), answer) ?? null;
    case 'close-device':
      vm.closeDevice();
      return null;
    case 'open':
    case 'give':
    case 'close':
      return null;
  }
};

/** The kernel's answer; where an answer that changes nothing is a failure, the other one is foreseen; otherwise the model's. */
const answerTo = (step: PlanStep, {outcome}: SimulationInput): Answer | undefined => {
  if (step.action !== 'add' && step.action !== 'delete') return undefined;
  const answer = outcome?.files.get(step.file.name)?.outcome;
  if (answer !== undefined) return ANSWERS[answer];
  return step.toleratesNoop ? undefined : 'done';
};

/** An outcome as the kernel answered it. */
export const ANSWERS: Record<FileOutcome, Answer> = {
  added: 'done',
  already: 'EEXIST',
  deleted: 'done',
  absent: 'ENOENT',
};
