import type {FileOutcome} from './apply.js';
import {ANSWERS} from './simulate.js';
import {answerUpdatesCoherency} from './model/device.js';
import type {KernelRules} from './model/rules.js';

/** Whether KVM looked at all files again when it gave one of these answers; null when that is not known. */
export const updatesCoherency = (
  outcomes: readonly FileOutcome[],
  rules: Pick<KernelRules, 'refusedDeleteLooks'>,
): boolean | null => {
  const each = outcomes.map((outcome) => answerUpdatesCoherency(ANSWERS[outcome], rules));
  return each.includes(true) ? true : each.includes(null) ? null : false;
};
