import type {Context} from 'mocha';
import {whyNoKvm} from './kvm.js';
import {isInPath, PACKAGES, type Program} from './programs.js';
import {skip, type Elsewhere} from './skip.js';

/** What a test may need beside Node, this checkout and its packages. */
export type Need = Elsewhere | 'x64' | Program;

/** `npm run test:unit` runs what needs neither KVM, nor root, nor a build, nor the lab, nor long. */
export const UNIT_ONLY = process.env['KVFIO_TEST_UNIT'] !== undefined;

/** What an owner that is made to execute calls needs (test/owner/inject/victim.c). */
export const VICTIM = ['x64', 'cc', 'kvm', 'root'] as const;

/**
 * Skips the running test, or all tests of the running hook's suite, where something that it needs is missing.
 *
 * Whatever else is missing is the reason rather than KVM or root, which a test finds in the lab.
 */
export const needs = (context: Context, ...all: readonly Need[]): void => {
  const elsewhere = all.filter(isElsewhere);
  const others = all.filter((need) => !isElsewhere(need));
  for (const need of UNIT_ONLY ? [...elsewhere, ...others] : [...others, ...elsewhere]) {
    const reason = whyMissing(need);
    if (reason !== undefined) skip(context, reason, isElsewhere(need) ? need : undefined);
  }
};

/** Why something is missing here, or undefined. */
export const whyMissing = (need: Need): string | undefined => {
  if (isElsewhere(need)) return UNIT_ONLY ? `unit tests do without (${need})` : ELSEWHERE[need]();
  if (need === 'x64') return process.arch === 'x64' ? undefined : `it is for x86-64, not ${process.arch}`;
  return isInPath(need) ? undefined : `there is no ${need} in the PATH (package ${PACKAGES[need]})`;
};

const isElsewhere = (need: Need): need is Elsewhere => need in ELSEWHERE;

let kvm: {reason: string | undefined} | undefined;

const ELSEWHERE = {
  kvm: (): string | undefined =>
    (kvm ??= {
      reason: process.env['KVFIO_TEST_KVM'] === 'lab' ? 'the KVM of the lab is asked for' : whyNoKvm(),
    }).reason,
  root: (): string | undefined => (process.geteuid?.() === 0 ? undefined : 'it needs root'),
  /** The runner builds before it starts, and `buildOnce` where a file is run by itself. */
  build: (): string | undefined => undefined,
  /** lab() of lab.ts finds out. */
  lab: (): string | undefined => undefined,
  /** Seconds of a CPU for one test, as a fuzzer or another project's engine takes. */
  time: (): string | undefined => undefined,
} as const;
