import assert from 'node:assert/strict';
import type {Verdict} from '../../../src/iommu/snoop-control.js';
import type {Line} from './dialogue.js';
import type {Observed} from './observed.js';

/** What a step of a dialogue was answered, and what was seen after it. */
export interface Heard {
  answer: string;
  seen: Observed;
}

/** @param verdict - what the IOMMU does for the group */
export const expectLine = (lines: readonly Line[], index: number, heard: Heard, verdict: Verdict): void => {
  const line = lines[index];
  assert.ok(line);
  const about = `${index + 1}. ${JSON.stringify(line.does)}`;
  assert.equal(heard.answer, line.answer ?? 'done', about);
  const {groups, count, wbinvd} = heard.seen;
  const several = lines.some(({does}) => does.do === 'open group' && does.group === 1);
  assert.equal(groups[several ? 11 : 12], line.group, about);
  const noncoherent = lines.slice(0, index + 1).map((each) => verdict === 'not-enforced' && each.noncoherent);
  const turns = (to: boolean): number =>
    noncoherent.filter((each, at) => each === to && (noncoherent[at - 1] ?? false) !== to).length;
  if (count !== null) assert.deepEqual(count, [turns(true), turns(false)], about);
  const policy = noncoherent.at(-1) === true ? 'executed' : 'skipped';
  if (wbinvd !== null)
    assert.ok(
      Object.values(wbinvd).every((each) => each === policy),
      about,
    );
};
