import {execFileSync} from 'node:child_process';
import {whyNoKvm} from './kvm.js';

/** What a trial or a benchmark may need. Programs of this host are also in the lab's guest, which has a KVM besides. */
export type Need = keyof typeof NEEDS;

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

/** What needs KVM finds it in the lab where this host has none that works; all else stays here. */
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

/** The conditions of this host. What it lacks is found out once. */
export const conditionsHere = (options: Omit<Conditions, 'whyMissing'>): Conditions => {
  const reasons = new Map<Need, string | undefined>();
  return {
    ...options,
    whyMissing: (need) => {
      if (!reasons.has(need)) reasons.set(need, NEEDS[need]());
      return reasons.get(need);
    },
  };
};

const program =
  (name: string, version = '--version') =>
  (): string | undefined => {
    try {
      execFileSync(name, [version], {stdio: 'ignore'});
      return undefined;
    } catch {
      return `there is no ${name}`;
    }
  };

const NEEDS = {
  x64: () => (process.arch === 'x64' ? undefined : 'making others execute calls is for x86-64'),
  root: () => (process.geteuid?.() === 0 ? undefined : 'it needs root'),
  kvm: whyNoKvm,
  cc: program('cc'),
  chrt: program('chrt'),
  lspci: program('lspci'),
  prlimit: program('prlimit'),
  strace: program('strace'),
};
