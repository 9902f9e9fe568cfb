import {groupBy} from '../group-by.js';

/** One way to find the counterparts of items. */
export interface MatchStep<Item, By extends string> {
  by: By;
  /** What counterparts have in common; null of an item that is not matched so. */
  key: (item: Item) => string | null;
  /** Whether a key that several items of one side have says nothing. */
  unique?: boolean;
  /** Whether two items with the same key may be counterparts; they always may when it is left out. */
  fits?: (a: Item, b: Item) => boolean;
}

export interface Pair<Item, By extends string> {
  a: Item;
  b: Item;
  by: By;
  /** How many were left on one side, the greater number of both, of which this might have been the counterpart. */
  candidates: number;
}

export interface Matched<Item, By extends string> {
  pairs: Pair<Item, By>[];
  onlyA: Item[];
  onlyB: Item[];
}

/**
 * Finds which items of two lists are counterparts: by the first step as far as that goes, and the rest by the next ones. Items with the
 * same key are paired in their order.
 */
export const match = <Item extends object, By extends string>(
  as: readonly Item[],
  bs: readonly Item[],
  steps: readonly MatchStep<Item, By>[],
): Matched<Item, By> => {
  const pairs: Pair<Item, By>[] = [];
  let [onlyA, onlyB] = [[...as], [...bs]];
  for (const step of steps) {
    if (onlyA.length === 0 || onlyB.length === 0) break;
    const found = pairsBy(step, onlyA, onlyB);
    const [matchedA, matchedB] = [new Set(found.map(({a}) => a)), new Set(found.map(({b}) => b))];
    onlyA = onlyA.filter((item) => !matchedA.has(item));
    onlyB = onlyB.filter((item) => !matchedB.has(item));
    for (const pair of found) pairs.push(pair);
  }
  return {pairs, onlyA, onlyB};
};

const pairsBy = <Item extends object, By extends string>(
  {by, key, unique = false, fits = () => true}: MatchStep<Item, By>,
  as: readonly Item[],
  bs: readonly Item[],
): Pair<Item, By>[] => {
  const others = groupBy(bs, key);
  return [...groupBy(as, key)].flatMap(([common, mine]) => {
    const theirs = common === null ? [] : (others.get(common) ?? []);
    const candidates = Math.max(mine.length, theirs.length);
    return unique && candidates > 1
      ? []
      : inOrder(mine, theirs, fits).map(([a, b]) => ({a, b, by, candidates}));
  });
};

/** Each with the first that fits and is not taken. */
const inOrder = <Item extends object>(
  as: readonly Item[],
  bs: readonly Item[],
  fits: (a: Item, b: Item) => boolean,
): [Item, Item][] => {
  const taken = new Set<Item>();
  let first = 0;
  return as.flatMap((a): [Item, Item][] => {
    for (; first < bs.length && taken.has(bs[first] as Item); first++);
    for (let at = first; at < bs.length; at++) {
      const b = bs[at] as Item;
      if (taken.has(b) || !fits(a, b)) continue;
      taken.add(b);
      return [[a, b]];
    }
    return [];
  });
};
