import fc from 'fast-check';
import type {Verdict} from '../../../src/iommu/snoop-control.js';
import type {KernelRules} from '../../../src/kvm-vfio/model/rules.js';
import {ModelledMachine, type Action} from './modelled-machine.js';
import type {Machine, Observed} from './observed.js';
import {operations, type Operation} from './operation.js';
import {RealMachine, type Sight} from './real-machine.js';

/** What the model and the kernel are to be alike on. */
export interface Trial {
  machine: Machine;
  /** What the IOMMU does for all devices. */
  verdict: Verdict;
  rules: KernelRules;
  sight: Sight;
}

/** What came of it. */
export interface Report {
  /** How many operations were done and compared, and in how many sequences. */
  operations: number;
  sequences: number;
  /** How often each answer was given. */
  answers: Record<string, number>;
  /** How often the kernel took a VM for non-coherent. */
  noncoherent: number;
  seed: number;
  seconds: number;
  difference: Difference | null;
}

/** The shortest sequence found after which the model and the kernel differ. */
export interface Difference {
  steps: string[];
  /** What each of them does. */
  kinds: Operation['do'][];
  /** What the last step was to lead to, and what it led to, as far as they differ. */
  model: string;
  kernel: string;
}

/** Operations in a sequence, at most. */
const LENGTH = 200;

/**
 * Does random sequences of operations on the model and on the running kernel, and compares each answer and all that can
 * be seen after it, until that many operations were done or one differs. Such a sequence is shrunk.
 */
export const sideBySide = (trial: Trial, count: number, seed = Date.now() % 2 ** 31): Report => {
  const began = performance.now();
  const report: Report = {
    ...{operations: 0, sequences: 0, answers: {}, noncoherent: 0},
    ...{seed, seconds: 0, difference: null},
  };
  const sequences = fc.array(operations(trial.machine.groups.length > 0), {maxLength: LENGTH, size: 'max'});
  const property = fc.property(sequences, (sequence) => {
    let before = 0;
    const difference = runSequence(trial, sequence, ({action, answer, seen}) => {
      report.operations += 1;
      const now = noncoherentVms(seen);
      if (now > before) report.noncoherent += now - before;
      before = now;
      const what = `${action.do}: ${answer}`;
      report.answers[what] = (report.answers[what] ?? 0) + 1;
    });
    report.sequences += 1;
    // while a sequence is shrunk, the last one that still differs is the shortest
    if (difference !== null) report.difference = difference;
    return difference === null;
  });
  for (let round = 0; report.operations < count && report.difference === null; round += 1)
    fc.check(property, {numRuns: 10, seed: seed + round, unbiased: true});
  report.seconds = Math.round((performance.now() - began) / 100) / 10;
  return report;
};

/** One step of the kernel. */
export interface Done {
  action: Action;
  answer: string;
  seen: Observed;
}

/**
 * Does one sequence on both.
 *
 * @param onStep - told each step in which they were alike
 */
export const runSequence = (
  trial: Trial,
  sequence: readonly Operation[],
  onStep: (step: Done) => void = () => undefined,
): Difference | null => {
  const model = new ModelledMachine(trial.machine, trial.verdict, trial.rules);
  using real = new RealMachine(trial.machine, trial.sight);
  const [steps, kinds]: [string[], Operation['do'][]] = [[], []];
  for (const operation of sequence) {
    const action = model.actionOf(operation);
    if (action === null) continue;
    const expected = {answer: model.perform(action), ...model.observe()};
    const answer = real.perform(action);
    const seen = real.observe();
    steps.push(`${describe(action)}: ${answer}`);
    kinds.push(action.do);
    const difference = differenceOf(expected, {answer, ...seen});
    if (difference !== null) return {steps, kinds, ...difference};
    onStep({action, answer, seen});
  }
  const strays = real.strays();
  return strays === 0 ? null : {steps, kinds, model: 'no descriptor', kernel: `${strays} descriptors more`};
};

type Seen = Observed & {answer: string};

/** The parts that differ, of those that are seen. */
const differenceOf = (model: Seen, kernel: Seen): {model: string; kernel: string} | null => {
  const differing = (Object.keys(model) as (keyof Seen)[]).filter(
    (part) => kernel[part] !== null && JSON.stringify(model[part]) !== JSON.stringify(kernel[part]),
  );
  if (differing.length === 0) return null;
  const text = (seen: Seen): string =>
    differing.map((part) => `${part} ${JSON.stringify(seen[part])}`).join(', ');
  return {model: text(model), kernel: text(kernel)};
};

/** How many VMs KVM takes for non-coherent, as far as that is seen. */
const noncoherentVms = ({count}: Observed): number => (count === null ? 0 : count[0] - count[1]);

const describe = ({do: does, ...rest}: Action): string =>
  [does, ...Object.entries(rest).map(([name, value]) => `${name} ${value ?? 'not open'}`)].join(' ');
