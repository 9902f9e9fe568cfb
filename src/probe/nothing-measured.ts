import {Failure} from '../failure.js';
import type {Run} from './run.js';

/** The failure of a run that ended before its first sample. */
export const nothingMeasured = ({ended, phases}: Run): Failure =>
  new Failure({
    code: 'NOTHING_MEASURED',
    kind: 'cannotDecide',
    what: 'Nothing was measured.',
    why: `${ended === 'interrupted' ? 'The run was ended' : 'The duration was over'} before the first sample was taken; ${phases.reduce((sum, {operations}) => sum + operations, 0)} operations of the warmup were done.`,
    hint:
      ended === 'interrupted'
        ? 'Let it run longer, or have a smaller --warmup or --dirty.'
        : 'Have a longer --duration, or a smaller --warmup or --dirty.',
  });
