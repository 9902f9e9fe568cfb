import type {ChalkInstance} from 'chalk';
import type {FactChange} from '../../diff/change.js';
import type {DeviceDifference} from '../../diff/devices.js';
import type {DiffDocument, MachineSummary} from '../../diff/diff-document.js';
import type {GroupDifference} from '../../diff/groups.js';
import type {UnitDifference} from '../../diff/units.js';
import {groupBy} from '../../group-by.js';
import {listed} from '../../words.js';
import {changeWords, countWords, kernelWords, machineName} from './diff-words.js';
import {printable} from '../../printable.js';

/** The answer of `kvfio diff A B` for people, one fact on a line. */
export const diffLines = (document: DiffDocument, paint: ChalkInstance): string[] => {
  const {a, b, kernel, units, groups, devices} = document;
  return [
    `A: ${machineWords(a)}`,
    `B: ${machineWords(b)}`,
    ...kernelWords(kernel).map(printable),
    ...units.map((unit) => unitLine(unit, paint)),
    ...groupLines(groups, devices, paint),
    ...deviceLines(devices, paint),
    paint.bold(headline(document)),
  ];
};

const machineWords = ({origin, kernel, groups, devices, noGroups}: MachineSummary): string =>
  printable(
    `${machineName(origin)}, ${kernel === null ? 'kernel unknown' : `Linux ${kernel}`}, ${groups} groups, ${devices} devices${noGroups === null ? '' : ` (${noGroups})`}`,
  );

const headline = ({same, expected, kernel, counts}: DiffDocument): string => {
  if (same) return expected ? 'B is as expected.' : 'Nothing differs.';
  const isLine = ({field}: FactChange): boolean => field === 'commandLine';
  const parts = [
    ...(kernel.changes.every(isLine) ? [] : ['the kernel']),
    ...(kernel.changes.some(isLine) ? ['the command line'] : []),
    ...countWords(counts),
  ];
  return `${expected ? 'B is not as expected' : 'What differs'}: ${listed(parts)}.`;
};

type State = UnitDifference['state'] | DeviceDifference['state'];

const COLOURS: Record<State, (text: string, paint: ChalkInstance) => string> = {
  gone: (text, paint) => paint.red(text),
  new: (text, paint) => paint.green(text),
  moved: (text, paint) => paint.yellow(text),
  changed: (text) => text,
};

const stateWord = (state: State, paint: ChalkInstance): string => COLOURS[state](state, paint);

const fromTo = (a: string | null, b: string | null): string =>
  [...new Set([a, b].filter((each) => each !== null))].join(' -> ');

const unitLine = ({state, a, b, type, snoop, changes}: UnitDifference, paint: ChalkInstance): string => {
  const told = changes.filter(({field}) => field !== 'name').map((change) => printable(changeWords(change)));
  const facts = state === 'changed' ? told : [stateWord(state, paint), type, `snoop ${snoop}`];
  return `IOMMU unit ${printable(fromTo(a, b))}: ${facts.length === 0 ? 'has another name' : facts.join(', ')}`;
};

const groupLines = (
  groups: readonly GroupDifference[],
  devices: readonly DeviceDifference[],
  paint: ChalkInstance,
): string[] => {
  const alone = {gone: addressesOf(devices, 'gone', 'a'), new: addressesOf(devices, 'new', 'b')};
  const told = new Set(
    devices.flatMap(({b, changes}) => changes.map((change) => changeKey(b?.group ?? null, change))),
  );
  const renumbered: string[] = [];
  const lines = groups.flatMap(({state, a, b, lost, gained, changes}) => {
    // what the line of a device says already is not said again of its group
    if (state === 'gone' && lost.length > 0 && lost.every((address) => alone.gone.has(address))) return [];
    if (state === 'new' && gained.length > 0 && gained.every((address) => alone.new.has(address))) return [];
    const facts = [
      ...(state === 'changed' ? [] : [stateWord(state, paint)]),
      ...(lost.length === 0 ? [] : [`${state === 'gone' ? 'had' : 'loses'} ${printable(listed(lost))}`]),
      ...(gained.length === 0 ? [] : [`${state === 'new' ? 'has' : 'gains'} ${printable(listed(gained))}`]),
      ...changes
        .filter((change) => change.field !== 'number' && !told.has(changeKey(b, change)))
        .map((change) => changeWords(change)),
    ];
    const name = fromTo(a?.toString() ?? null, b?.toString() ?? null);
    if (facts.length > 0) return [`group ${name}: ${facts.join(', ')}`];
    if (a !== b) renumbered.push(name);
    return [];
  });
  return [
    ...(renumbered.length === 0 ? [] : [`groups with another number: ${renumbered.join(', ')}`]),
    ...lines,
  ];
};

const changeKey = (group: number | null, {field, a, b}: FactChange): string => [group, field, a, b].join(' ');

const addressesOf = (
  devices: readonly DeviceDifference[],
  state: DeviceDifference['state'],
  side: 'a' | 'b',
): Set<string> =>
  new Set(devices.flatMap((device) => (device.state === state ? (device[side]?.address ?? []) : [])));

/** Devices that differ in the very same way share a line, as all behind a unit do. */
const deviceLines = (devices: readonly DeviceDifference[], paint: ChalkInstance): string[] => {
  const alike = groupBy(devices, (device) =>
    device.state === 'changed' ? JSON.stringify(device.changes) : device,
  );
  return [...alike.values()].flatMap((some) =>
    some.length < FOLDED ? some.map((device) => deviceLine(device, paint)) : [foldedLine(some)],
  );
};

const FOLDED = 3;

const foldedLine = (devices: readonly DeviceDifference[]): string => {
  const named = devices.slice(0, NAMED).map(({a, b}) => fromTo(a?.address ?? null, b?.address ?? null));
  const left = devices.length - named.length;
  const names = left === 0 ? listed(named) : `${named.join(', ')} and ${left} more (--json)`;
  const changes = devices[0]?.changes ?? [];
  return printable(
    `${devices.length} devices: ${changes.map((change) => changeWords(change)).join(', ')}: ${names}`,
  );
};

/** Addresses in a line. */
const NAMED = 24;

const deviceLine = (difference: DeviceDifference, paint: ChalkInstance): string => {
  const {state, a, b, changes} = difference;
  const device = b ?? a;
  const facts = [
    ...(state === 'changed' ? [] : [`${stateWord(state, paint)}${movedWords(difference)}`]),
    ...(state === 'gone' || state === 'new'
      ? [
          device?.group === null ? 'in no group' : `group ${device?.group ?? ''}`,
          printable(device?.driver === null ? 'no driver' : `driver ${device?.driver ?? ''}`),
        ]
      : changes.map((change) => printable(changeWords(change)))),
    ...(difference.guess ? ['a guess among several of its model'] : []),
  ];
  const name = device?.name === null ? '' : ` ${device?.name ?? ''}`;
  return `${printable(`${fromTo(a?.address ?? null, b?.address ?? null)}${name}`)}: ${facts.join(', ')}`;
};

const movedWords = ({sameSlot}: DeviceDifference): string =>
  sameSlot === null ? '' : sameSlot ? ' (the same slot, buses have other numbers)' : ' to another slot';
