import {outlookOf} from '../vfio/eligibility/assignability.js';
import type {Holders, Reading} from './reading.js';

type Group = Reading['groups']['groups'][number];

/**
 * What a group is good for, by the first thing that is known to be in the way:
 *
 * - `held`: a VM could have it, and a process has it open
 * - `non-coherent`: a VM could have it, and would be non-coherent
 * - `bindable`: a VM could have it after `kvfio bind`
 * - `unassignable`: a VM cannot have it, nor after that
 * - `unknown`: nothing is known to be in the way, and something could not be read
 * - `ready`: it is assignable as it is bound now, free and coherent
 */
export type GroupState = (typeof GROUP_STATES)[number];

/** The most useful first. */
export const GROUP_STATES = ['ready', 'non-coherent', 'held', 'unknown', 'bindable', 'unassignable'] as const;

export const stateOf = (
  {group, assignable, snoopControl}: Pick<Group, 'group' | 'assignable' | 'snoopControl'>,
  holders: Holders | null,
): GroupState => {
  const outlook = outlookOf(assignable);
  if (outlook !== 'yes') return NOT_NOW[outlook];
  const [free, coherent] = [isFree(holders, group), COHERENT[snoopControl.verdict]];
  if (free === false) return 'held';
  if (coherent === false) return 'non-coherent';
  return free === true && coherent === true ? 'ready' : 'unknown';
};

const NOT_NOW = {'after bind': 'bindable', no: 'unassignable', unknown: 'unknown'} as const;

/** Whether no process has a group open for VFIO; null where that is unknown. */
export const isFree = (holders: Holders | null, group: number): boolean | null => {
  if (holders === null) return null;
  if (holders.byGroup.has(group)) return false;
  return holders.hidden === 0 ? true : null;
};

/** Whether KVM takes the DMA of a group with this verdict for cache coherent. */
export const COHERENT = {enforced: true, 'not-enforced': false, unknown: null} as const;
