import type {Unit} from '../iommu/unit.js';
import type {FactChange} from './change.js';
import {match, type Matched, type MatchStep} from './match.js';

/** An IOMMU unit that is not the same in both machines. */
export interface UnitDifference {
  /** `gone`: only A has it; `new`: only B has it. */
  state: 'gone' | 'new' | 'changed';
  /** Its name in A. */
  a: string | null;
  b: string | null;
  type: Unit['type'];
  snoop: Unit['snoopControl']['verdict'];
  /** What differs: `name`, `type`, `snoop`, or a register by its name, such as `ecap`. */
  changes: FactChange[];
}

export type MatchedUnits = Matched<Unit, 'address' | 'name'>;

/** Which units of two machines are the same ones: numbers in names, as of dmar1, depend on how many there are. */
export const matchUnits = (as: readonly Unit[], bs: readonly Unit[]): MatchedUnits => match(as, bs, STEPS);

const registerOf = ({registers}: Unit, wanted: string): string | null =>
  registers.find(({name}) => name === wanted)?.value ?? null;

const STEPS: readonly MatchStep<Unit, 'address' | 'name'>[] = [
  {by: 'address', key: (unit) => registerOf(unit, 'address'), unique: true},
  {by: 'name', key: ({name}) => name},
];

/** What differs of the units of two machines: first of those of A. */
export const unitDifferences = (as: readonly Unit[], {pairs, onlyB}: MatchedUnits): UnitDifference[] => {
  const counterpart = new Map(pairs.map(({a, b}) => [a, b]));
  const ofA = as.flatMap((a): UnitDifference[] => {
    const b = counterpart.get(a);
    if (b === undefined) return [{state: 'gone', a: a.name, b: null, ...kindOf(a), changes: []}];
    const changes = changesBetween(a, b);
    return changes.length === 0 ? [] : [{state: 'changed', a: a.name, b: b.name, ...kindOf(b), changes}];
  });
  return [
    ...ofA,
    ...onlyB.map((b): UnitDifference => ({state: 'new', a: null, b: b.name, ...kindOf(b), changes: []})),
  ];
};

const kindOf = ({type, snoopControl}: Unit): Pick<UnitDifference, 'type' | 'snoop'> => ({
  type,
  snoop: snoopControl.verdict,
});

/** The facts of a unit, by name. */
export const unitFacts = (unit: Unit): Record<string, string> => ({
  name: unit.name,
  type: unit.type,
  snoop: unit.snoopControl.verdict,
  ...Object.fromEntries(unit.registers.map(({name, value}) => [name, value])),
});

const changesBetween = (a: Unit, b: Unit): FactChange[] => {
  const [before, after] = [unitFacts(a), unitFacts(b)];
  return [...new Set([...Object.keys(before), ...Object.keys(after)])].flatMap((field) => {
    const change = {field, a: before[field] ?? null, b: after[field] ?? null};
    return change.a === change.b ? [] : [change];
  });
};
