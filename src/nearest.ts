import {closestMatch} from 'leven';

/**
 * The candidate that a mistyped word most likely means: the same in another case, the only one that begins with it, or
 * one at a small edit distance. Undefined when none is near.
 */
export const nearest = (word: string, candidates: readonly string[]): string | undefined => {
  const plain = simplified(word);
  const simple = candidates.map(simplified);
  const at = (index: number): string | undefined => candidates[index];
  const same = simple.indexOf(plain);
  if (same !== -1) return at(same);
  const longer = plain.length < SHORTEST_PREFIX ? [] : simple.filter((each) => each.startsWith(plain));
  if (longer.length === 1) return at(simple.indexOf(longer[0] ?? ''));
  const close = closestMatch(plain, simple, {maxDistance: Math.ceil(plain.length / LETTERS_PER_ERROR)});
  if (close !== undefined) return at(simple.indexOf(close));
  // two letters that changed places are two errors to the distance, and one slip of the hand
  return at(simple.map(sorted).indexOf(sorted(plain)));
};

const sorted = (word: string): string => Array.from(word).sort().join('');

/** Case and dashes are not what tells two words apart. */
const simplified = (word: string): string => word.toLowerCase().replaceAll(/[-_]/g, '');

const SHORTEST_PREFIX = 3;

/** One wrong letter is taken for a slip in this many, so that two short words are not taken for each other. */
const LETTERS_PER_ERROR = 4;
