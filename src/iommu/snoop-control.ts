/** Whether an IOMMU forces No-Snoop requests of a device to be cache coherent. */
export type Verdict = 'enforced' | 'not-enforced' | 'unknown';

/**
 * How a verdict was reached: `exact` from a register or a rule without exceptions, `by-type` from the kind of
 * IOMMU alone, or by the rule of the family that the kernel is of, `none` when nothing supports it.
 */
export type Confidence = 'exact' | 'by-type' | 'none';

/** One fact that a verdict rests on. What does not apply to it is null. */
export interface Evidence {
  /** The IOMMU unit, such as `dmar0`. */
  unit: string | null;
  register: string | null;
  /** Bit number within the register. */
  bit: number | null;
  /** The register's value in hexadecimal. */
  value: string | null;
  /** The file that shows it. */
  file: string | null;
  /** The fact in words, without a full stop. */
  statement: string;
}

export interface SnoopControl {
  verdict: Verdict;
  confidence: Confidence;
  evidence: Evidence[];
}

/** Evidence in words alone, with the fields that do not apply filled in. */
export const evidence = (statement: string, rest: Partial<Evidence> = {}): Evidence => ({
  unit: null,
  register: null,
  bit: null,
  value: null,
  file: null,
  ...rest,
  statement,
});

/**
 * Joins the verdicts on several parts: enforced only if every one is, not enforced as soon as one is not, otherwise unknown.
 *
 * The confidence is that of the weakest part that decided, and the evidence is theirs without repetition.
 */
export const conjunction = (parts: readonly SnoopControl[]): SnoopControl => {
  const [only, ...rest] = parts;
  if (only !== undefined && rest.length === 0) return only;
  const verdict = parts.some((part) => part.verdict === 'not-enforced')
    ? 'not-enforced'
    : parts.some((part) => part.verdict === 'unknown')
      ? 'unknown'
      : 'enforced';
  const deciding = parts.filter((part) => part.verdict === verdict);
  // one part that surely is not enforced settles it, however sure the others are; the reverse needs all of them
  const [strongest, weakest] = [Math.max, Math.min].map((pick) =>
    pick(...deciding.map((part) => STRENGTH.indexOf(part.confidence))),
  );
  const strength = verdict === 'not-enforced' ? strongest : weakest;
  const facts = new Map(
    deciding.flatMap((part) => part.evidence).map((fact) => [JSON.stringify(fact), fact]),
  );
  return {
    verdict,
    confidence: STRENGTH[strength ?? 0] ?? 'exact',
    evidence: [...facts.values()],
  };
};

const STRENGTH: readonly Confidence[] = ['none', 'by-type', 'exact'];

/** The less sure of two. */
export const weaker = (a: Confidence, b: Confidence): Confidence =>
  STRENGTH.indexOf(a) < STRENGTH.indexOf(b) ? a : b;
