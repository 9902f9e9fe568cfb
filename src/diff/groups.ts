import {changesOf, type FactChange, type FactValues} from './change.js';
import type {MatchedDevices} from './devices.js';
import type {ComparedDevice, ComparedGroup} from './machine.js';

/** What may differ of a group that both machines have. */
export type GroupField = 'number' | 'snoop' | 'assignable' | 'afterBind';

/** A group that is not the same in both machines. */
export interface GroupDifference {
  /** `gone`: only A has it; `new`: only B has it. */
  state: 'gone' | 'new' | 'changed';
  /** Its number in A. */
  a: number | null;
  b: number | null;
  /** Addresses in A of its members that are not in it in B. */
  lost: string[];
  /** Addresses in B of its members that were not in it in A. */
  gained: string[];
  changes: FactChange<GroupField>[];
}

/** Numbers of the groups of A, and those of B that they are. */
export type MatchedGroups = ReadonlyMap<number, number>;

/**
 * A group is the one of the other machine that has most of its members. An empty group is the one with the same number, when that is
 * empty, too.
 */
export const matchGroups = (
  as: readonly ComparedGroup[],
  bs: readonly ComparedGroup[],
  {pairs}: MatchedDevices,
): MatchedGroups => {
  const common = new Map<string, {a: number; b: number; members: number}>();
  for (const {a, b} of pairs) {
    if (a.group === null || b.group === null) continue;
    const key = `${a.group} ${b.group}`;
    const known = common.get(key);
    if (known === undefined) common.set(key, {a: a.group, b: b.group, members: 1});
    else known.members++;
  }
  // in an order that is the same when A and B change places
  const ranked = [...common.values()].sort(
    (one, other) =>
      other.members - one.members ||
      Math.min(one.a, one.b) - Math.min(other.a, other.b) ||
      Math.max(one.a, one.b) - Math.max(other.a, other.b),
  );
  const [found, taken] = [new Map<number, number>(), new Set<number>()];
  const take = (a: number, b: number): void => {
    if (found.has(a) || taken.has(b)) return;
    found.set(a, b);
    taken.add(b);
  };
  for (const {a, b} of ranked) take(a, b);
  const empty = new Set(bs.flatMap(({group, devices}) => (devices.length === 0 ? [group] : [])));
  for (const {group, devices} of as) if (devices.length === 0 && empty.has(group)) take(group, group);
  return found;
};

/** What differs of the groups of two machines, by their numbers in A, or in B where A has none. */
export const groupDifferences = (
  as: readonly ComparedGroup[],
  bs: readonly ComparedGroup[],
  matched: MatchedGroups,
  {pairs}: MatchedDevices,
): GroupDifference[] => {
  const inB = new Map(bs.map((group) => [group.group, group]));
  const inA = new Map([...matched].map(([a, b]) => [b, a]));
  const [counterpart, original] = [
    new Map(pairs.map(({a, b}) => [a, b])),
    new Map(pairs.map(({a, b}) => [b, a])),
  ];
  const isNotIn =
    (others: ReadonlyMap<ComparedDevice, ComparedDevice>, group: number | undefined) =>
    (device: ComparedDevice): boolean =>
      group === undefined || others.get(device)?.group !== group;
  const ofA = as.flatMap((group): GroupDifference[] => {
    const number = matched.get(group.group);
    const other = number === undefined ? undefined : inB.get(number);
    const lost = addresses(group.devices.filter(isNotIn(counterpart, number)));
    if (number === undefined || other === undefined)
      return [{state: 'gone', a: group.group, b: null, lost, gained: [], changes: []}];
    const gained = addresses(other.devices.filter(isNotIn(original, group.group)));
    const changes = changesOf(group, other, FACTS);
    return lost.length + gained.length + changes.length === 0
      ? []
      : [{state: 'changed', a: group.group, b: number, lost, gained, changes}];
  });
  const ofB = bs
    .filter(({group}) => !inA.has(group))
    .map(({group, devices}): GroupDifference => {
      const gained = addresses(devices);
      return {state: 'new', a: null, b: group, lost: [], gained, changes: []};
    });
  return [...ofA, ...ofB].sort((one, other) => numberOf(one) - numberOf(other));
};

const FACTS: FactValues<ComparedGroup, GroupField> = {
  number: ({group}) => String(group),
  snoop: ({snoop}) => snoop,
  assignable: ({assignable}) => assignable,
  afterBind: ({afterBind}) => afterBind,
};

const addresses = (devices: readonly ComparedDevice[]): string[] => devices.map(({address}) => address);

const numberOf = ({a, b}: GroupDifference): number => a ?? b ?? 0;
