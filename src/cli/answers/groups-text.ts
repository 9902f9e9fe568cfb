import type {ChalkInstance} from 'chalk';
import type {GroupsDocument, ListedGroup} from '../../groups/groups-document.js';
import type {NoGroups} from '../../iommu/no-groups.js';
import type {SnoopControl} from '../../iommu/snoop-control.js';
import {groupsRows, type GroupsRow} from './groups-table.js';
import {isPciBridge} from '../../pci/class.js';
import {printable} from '../../printable.js';
import {manyCsvLines, manyTableLines, sorted} from '../output/table.js';
import type {TableChoice} from '../flags/table-flags.js';
import {wrapped} from '../output/wrap.js';
import {listed} from '../../words.js';

export interface GroupsTextOptions {
  table: TableChoice<GroupsRow>;
  explain: boolean;
  regions: boolean;
  paint: ChalkInstance;
  /** Columns of the terminal, or null when stdout is none. */
  width: number | null;
}

/** The answer of `kvfio groups` for people. Lines are made as they are asked for. */
export const groupsLines = async (
  document: GroupsDocument,
  {table: {columns, sort, header, csv}, explain, regions, paint, width}: GroupsTextOptions,
): Promise<Iterable<string>> => {
  if (explain) return explanations(document, {paint, width});
  const unsorted = groupsRows(document);
  const rows = sort === null ? unsorted : sorted(unsorted, sort.column, sort.descending);
  if (csv) return manyCsvLines(rows, columns, header);
  if (rows.length === 0) return [];
  const table = await manyTableLines(rows, columns, {header, paint, width});
  return joined(table, regions ? regionLines(document.groups) : [], differences(document.groups));
};

function* joined(...parts: Iterable<string>[]): Generator<string> {
  for (const part of parts) yield* part;
}

/** One line about groups of which a filter hides members that may do DMA; null when there are none. */
export const hiddenLine = (groups: readonly ListedGroup[]): string | null => {
  const hiding = groups
    .map(({id, devices}) => ({
      id,
      hidden: devices.filter(({matched, classCode}) => !matched && !isPciBridge(classCode)),
    }))
    .filter(({hidden}) => hidden.length > 0);
  const [first, ...more] = hiding;
  if (first === undefined) return null;
  return more.length === 0
    ? `group ${first.id} has more members than match: ${listed(first.hidden.map(({address}) => address))}.`
    : `groups ${listed(hiding.map(({id}) => String(id)))} have more members than match; the column members counts them.`;
};

/** One line that says why a machine has no groups. */
export const noGroupsLine = ({message, remedy}: NoGroups): string =>
  `no IOMMU groups: ${message}; ${remedy}.`;

function* explanations(
  {groups, ungrouped}: GroupsDocument,
  look: Pick<GroupsTextOptions, 'paint' | 'width'>,
): Generator<string> {
  const said = new SaidBefore();
  for (const group of groups) yield* explanationLines(group, said, look);
  for (const {address, explanation} of ungrouped) {
    yield look.paint.bold(`Device ${printable(address)}: in no group`);
    yield* paragraphs(explanation, look.width);
    yield '';
  }
}

const explanationLines = (
  group: ListedGroup,
  said: SaidBefore,
  {paint, width}: Pick<GroupsTextOptions, 'paint' | 'width'>,
): string[] => [
  paint.bold(`Group ${group.id}: ${headline(group.snoopControl)}`),
  ...paragraphs(said.shortened(group), width),
  ...(group.reservedRegions === null ? [] : regionLines([group])),
  '',
];

/** Paragraphs that are true of several groups, such as how the kernel decides. The first of these groups has them whole. */
class SaidBefore {
  readonly #groupOf = new Map<string, number>();

  /** The group's paragraphs; of those that an earlier one has, only how they begin and which group that is. */
  shortened({id, explanation}: ListedGroup): string[] {
    const fresh: string[] = [];
    const repeated = new Map<number, string[]>();
    for (const text of explanation ?? []) {
      const before = this.#groupOf.get(text);
      if (before === undefined) fresh.push(text);
      else repeated.set(before, [...(repeated.get(before) ?? []), beginning(text)]);
      // what names a device is true of no other group, and there may be very many
      if (before === undefined && !PCI_ADDRESS.test(text)) this.#groupOf.set(text, id);
    }
    return [...fresh, ...[...repeated].map(([group, texts]) => `As for group ${group}: ${listed(texts)}.`)];
  }
}

const beginning = (text: string): string => `"${text.split(' ').slice(0, 6).join(' ')} …"`;

const PCI_ADDRESS = /\b[\da-f]{2}:[\da-f]{2}\.[0-7]\b/;

const paragraphs = (texts: readonly string[] | null, width: number | null): string[] =>
  (texts ?? []).flatMap((text) => wrapped(printable(text), width, '  '));

const CONFIDENCE = {
  exact: 'exact',
  'by-type': 'by type of IOMMU or kernel',
  none: 'nothing to go by',
} as const;

const headline = ({verdict, confidence}: SnoopControl): string =>
  `cache coherency of No-Snoop DMA is ${verdict === 'unknown' ? 'unknown' : verdict.replace('-', ' ')} (${CONFIDENCE[confidence]})`;

const regionLines = (groups: readonly ListedGroup[]): string[] =>
  groups.flatMap((group) => [
    ...(group.reservedRegions ?? []).map(
      ({start, end, kind}) => `group ${group.id} reserved ${start}-${end} ${printable(kind)}`,
    ),
  ]);

/** Groups whose verdict rests on the members bound now, and would change with the others. */
const differences = (groups: readonly ListedGroup[]): string[] =>
  groups.flatMap(({id, snoopControl: {boundMembers, allMembers}}) =>
    boundMembers === null || boundMembers.verdict === allMembers.verdict
      ? []
      : [
          `group ${id}: ${boundMembers.verdict} with the members that are bound to VFIO now, ${allMembers.verdict} with all of them`,
        ],
  );
