import type {ClassFilter} from '../../pci/class.js';
import {
  CRITERIA,
  resetsOf,
  type Candidate,
  type CriterionId,
  type Judgement,
  type RankQuestion,
} from './criteria.js';
import type {DeviceReset} from './reset-quality.js';

/** Why a group has its place: what one criterion says of it. */
export type RankReason = {criterion: CriterionId} & Pick<Judgement, 'value' | 'reason'>;

/** The place of a group among those that were asked for. */
export interface GroupRank {
  /** Its place; 1 is what a VM should get first. */
  place: number;
  /**
   * The criterion that places it before the next group; `number` where all are equal and its number is smaller; null for the
   * last.
   */
  decidedBy: CriterionId | 'number' | null;
  /** One for each criterion that counts, the weightiest first. */
  reasons: RankReason[];
  /** How each of its devices that is no bridge is reset. */
  resets: DeviceReset[];
}

/** What was asked for, and what was left out. */
export interface Ranking {
  for: ClassFilter[] | null;
  numa: number | null;
  coherent: boolean;
  /** What decides, the weightiest first. */
  criteria: CriterionId[];
  /** Groups that --coherent leaves out because nobody knows their verdict. */
  unknownCoherency: number[];
}

/** Those that a VM should get first come first. The order depends on what the groups are like, and not on the order given. */
export const rankGroups = <C extends Candidate>(
  candidates: readonly C[],
  question: RankQuestion,
): {candidate: C; rank: GroupRank}[] => {
  const criteria = countingCriteria(question);
  const judged = candidates
    .map((candidate) => ({
      candidate,
      judgements: criteria.map((criterion) => criterion.judge(candidate, question)),
    }))
    .sort((a, b) => compareJudged(a, b) || a.candidate.group.id - b.candidate.group.id);
  return judged.map((each, at) => {
    const next = judged[at + 1];
    return {
      candidate: each.candidate,
      rank: {
        place: at + 1,
        decidedBy: next === undefined ? null : (criteria[decisive(each, next)]?.id ?? 'number'),
        reasons: each.judgements.map(({value, reason}, index) => ({
          criterion: criteria[index]?.id ?? 'assignable',
          value,
          reason,
        })),
        resets: resetsOf(each.candidate, question),
      },
    };
  });
};

export const countingCriteria = (question: RankQuestion): typeof CRITERIA =>
  CRITERIA.filter(({applies}) => applies?.(question) ?? true);

interface Judged {
  judgements: readonly Judgement[];
}

const compareJudged = (a: Judged, b: Judged): number => {
  const at = decisive(a, b);
  return at === -1 ? 0 : compareOrders(a.judgements[at]?.order ?? [], b.judgements[at]?.order ?? []);
};

/** The first criterion by which two differ; -1 for none. */
const decisive = (a: Judged, b: Judged): number =>
  a.judgements.findIndex(({order}, at) => compareOrders(order, b.judgements[at]?.order ?? []) !== 0);

/** What is missing at the end counts as 0. Infinity is equal to itself. */
const compareOrders = (a: readonly number[], b: readonly number[]): number => {
  const at = Array.from({length: Math.max(a.length, b.length)}).findIndex(
    (_, index) => (a[index] ?? 0) !== (b[index] ?? 0),
  );
  if (at === -1) return 0;
  return (a[at] ?? 0) < (b[at] ?? 0) ? -1 : 1;
};
