import {whyMissing, type Need} from './needs.js';

export type Place = 'host' | 'lab';

/**
 * How much is done. `medium` is the short form of `large`, and what takes a guest as long as `large` takes a host; `small` is
 * the short form of that.
 */
export type Size = 'small' | 'medium' | 'large';

/** Where something runs and how much it does, or why it cannot. */
export type Plan = {place: Place; size: Size} | {missing: string};

export interface Conditions {
  /** The form for continuous integration. */
  short: boolean;
  /** Run what needs KVM in the lab, although this host may have one. */
  inLab: boolean;
  /** Why this host lacks something, or undefined. */
  whyMissing: (need: Need) => string | undefined;
}

/**
 * What needs KVM finds it in the lab where this host has none that works; all else stays here. Programs of this host are also in
 * the guest.
 */
export const planOf = (needs: readonly Need[], {short, inLab, whyMissing}: Conditions): Plan => {
  const missing = needs
    .filter((need) => need !== 'kvm')
    .map(whyMissing)
    .find((reason) => reason !== undefined);
  if (missing !== undefined) return {missing};
  const place = needs.includes('kvm') && (inLab || whyMissing('kvm') !== undefined) ? 'lab' : 'host';
  return {place, size: SIZES[place][short ? 'short' : 'full']};
};

const SIZES = {
  host: {short: 'medium', full: 'large'},
  lab: {short: 'small', full: 'medium'},
} as const;

/** The conditions of this host. */
export const conditionsHere = (options: Omit<Conditions, 'whyMissing'>): Conditions => ({
  ...options,
  whyMissing,
});
