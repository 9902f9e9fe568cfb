import type {Origin} from '../host/tree.js';
import type {Warning} from '../host/attributes.js';
import type {Device} from '../iommu/device.js';
import {explainGroup, explainUngrouped} from './explain.js';
import type {Group} from '../iommu/group.js';
import type {Host, OpenHost} from '../iommu/host.js';
import type {Kernel} from '../iommu/kernel.js';
import type {NoGroups} from '../iommu/no-groups.js';
import type {Verdict} from '../iommu/snoop-control.js';
import type {Unit} from '../iommu/unit.js';
import type {ClassFilter} from '../pci/class.js';
import type {SelectedDevice} from '../pci/selector/select-device.js';
import {
  assessUngrouped,
  type Assignability,
  type DeviceAssignability,
  type GroupAssessment,
  type Obstacle,
} from '../vfio/eligibility/assess.js';
import {assessEach} from '../vfio/eligibility/assess-alike.js';
import type {Examined} from '../vfio/eligibility/check.js';
import type {RankQuestion} from './ranking/criteria.js';
import {countingCriteria, rankGroups, type GroupRank, type Ranking} from './ranking/rank-groups.js';

/** A device, and whether the filters of the call select it. */
export type ListedDevice = Device & {
  matched: boolean;
  /** Whether a VM can have it; its group has the details. */
  assignable: DeviceAssignability;
};

/** A device in no group. */
export type UngroupedDevice = ListedDevice & {
  /** What keeps a VM from having it. */
  obstacles: Obstacle[];
  /** Paragraphs for people; null unless asked for. */
  explanation: string[] | null;
};

/** A group with all its devices: filters never make a group look smaller than it is. */
export type ListedGroup = Omit<Group, 'devices' | 'id'> & {
  /** Its number, as all documents call it. */
  group: number;
  /** Old name of `group`. */
  id: number;
  devices: ListedDevice[];
  /** Whether a VM can have it. */
  assignable: Assignability;
  /** Paragraphs for people; null unless asked for. */
  explanation: string[] | null;
  /** Its place among those that a VM may get, and why; null unless asked for. */
  rank: GroupRank | null;
};

/** What `kvfio groups --json` prints. */
export interface GroupsDocument {
  schemaVersion: 1;
  /** The machine that was read. */
  origin: Origin;
  /** What each --device that names one device was taken for. */
  selected: SelectedDevice[];
  kernel: Kernel;
  /** Every IOMMU unit of the machine. */
  units: Unit[];
  /** Groups with at least one device that is selected; by number, or by place where a ranking was asked for. */
  groups: ListedGroup[];
  /** Selected devices that are in no group. */
  ungrouped: UngroupedDevice[];
  /** Why the machine has no groups; null when it has some. */
  noGroups: NoGroups | null;
  /** The criteria that give groups their place; null unless a ranking was asked for. */
  ranking: Ranking | null;
  warnings: Warning[];
}

/** The document of a machine that is read while it is printed: its fields are to be asked for once, in their order. */
export type OpenGroupsDocument = Omit<GroupsDocument, 'groups'> & {groups: Iterable<ListedGroup>};

export interface DocumentOptions {
  explain: boolean;
  /** Whether reserved regions were asked for. */
  regions: boolean;
  /** What decides whether a VM can have a group, which is unknown otherwise. */
  examined: Examined | null;
  /** False: of what stands in the way of groups only that there is something, which takes a quarter of the memory. */
  obstacles?: boolean;
  selected?: readonly SelectedDevice[];
  /** How to rank the groups; null or absent: not at all. */
  ranking?: RankingOptions | null;
}

/** What a ranking rests on, and which groups it is about. */
export interface RankingOptions {
  question: RankQuestion;
  for: ClassFilter[] | null;
  /** Whether only groups count of which it is known that their DMA is coherent. */
  coherent: boolean;
}

/**
 * Makes the document from what was read and a test for the devices that are wanted, or null for all.
 *
 * Groups and devices become those of the document, and are not to be used otherwise: a second copy of 50,000 would take as
 * much memory as the first.
 */
export const groupsDocument = (
  host: Host,
  wanted: ((device: Device) => boolean) | null,
  options: DocumentOptions,
): GroupsDocument => {
  const {origin, kernel, units, noGroups} = host;
  const listed = [...listedGroups(host, host.groups, wanted, options)];
  const {groups, ranking} =
    options.ranking == null ? {groups: listed, ranking: null} : ranked(listed, options.ranking);
  const ungrouped = listedUngrouped(host, host.ungrouped, wanted, options);
  return {
    schemaVersion: 1,
    origin,
    selected: [...(options.selected ?? [])],
    kernel,
    units,
    groups,
    ungrouped,
    noGroups,
    ranking,
    warnings: [
      ...host.warnings,
      ...(options.examined?.facts.warnings ?? []),
      ...(options.ranking?.question.warnings() ?? []),
    ],
  };
};

/** The same for a machine whose groups are read as the document's are asked for. */
export const openGroupsDocument = (
  host: OpenHost,
  wanted: ((device: Device) => boolean) | null,
  options: DocumentOptions,
): OpenGroupsDocument => {
  const {origin, kernel, units} = host;
  let known: ReturnType<OpenHost['rest']> | undefined;
  const rest = (): ReturnType<OpenHost['rest']> => (known ??= host.rest());
  return {
    schemaVersion: 1,
    origin,
    selected: [...(options.selected ?? [])],
    kernel,
    units,
    groups: listedGroups(host, host.groups, wanted, options),
    get ungrouped() {
      const {ungrouped, noGroups} = rest();
      return listedUngrouped({kernel, noGroups}, ungrouped, wanted, options);
    },
    get noGroups() {
      return rest().noGroups;
    },
    ranking: null,
    get warnings() {
      return [...rest().warnings, ...(options.examined?.facts.warnings ?? [])];
    },
  };
};

function* listedGroups(
  machine: Pick<Host, 'kernel' | 'units'>,
  groups: Iterable<Group>,
  wanted: ((device: Device) => boolean) | null,
  {explain, regions, examined, obstacles = true}: DocumentOptions,
): Generator<ListedGroup> {
  // without a filter an empty group is shown, too
  const shown = wanted === null ? groups : filtered(groups, ({devices}) => devices.some(wanted));
  for (const [group, assessment] of examined === null ? unjudged(shown) : assessEach(examined, shown)) {
    const matches = group.devices.map((device) => wanted?.(device) ?? true);
    const explanation = explain ? explainGroup(machine, group, assessment.group) : null;
    const devices = group.devices.map((device, at) =>
      Object.assign(device, {
        matched: matches[at] ?? false,
        assignable: assessment.devices.get(device.address) ?? UNKNOWN,
      }),
    );
    yield Object.assign(group, {
      group: group.id,
      devices,
      assignable: obstacles ? assessment.group : verdictOf(assessment.group),
      explanation,
      rank: null,
      reservedRegions: regions ? group.reservedRegions : null,
    });
  }
}

/** Groups get their places, and lose those that are not to be given. */
const ranked = (
  groups: readonly ListedGroup[],
  {question, for: kinds, coherent}: RankingOptions,
): {groups: ListedGroup[]; ranking: Ranking} => {
  const verdictOf = ({snoopControl}: ListedGroup): Verdict => snoopControl.verdict;
  const kept = coherent ? groups.filter((group) => verdictOf(group) === 'enforced') : groups;
  return {
    groups: rankGroups(
      kept.map((group) => ({group, assignable: group.assignable})),
      question,
    ).map(({candidate: {group}, rank}) => Object.assign(group, {rank})),
    ranking: {
      for: kinds,
      numa: question.numa,
      coherent,
      criteria: countingCriteria(question).map(({id}) => id),
      unknownCoherency: coherent
        ? groups.filter((group) => verdictOf(group) === 'unknown').map(({id}) => id)
        : [],
    },
  };
};

function* filtered<T>(items: Iterable<T>, test: (item: T) => boolean): Generator<T> {
  for (const item of items) if (test(item)) yield item;
}

function* unjudged(groups: Iterable<Group>): Generator<[Group, GroupAssessment]> {
  for (const group of groups) yield [group, NOT_ASKED];
}

/** The verdicts without the obstacles: one object for all that are judged alike. */
const verdictOf = ({verdict, afterBind}: Assignability): Assignability => {
  const key = `${verdict} ${afterBind}`;
  const known = VERDICTS.get(key) ?? {verdict, afterBind, obstacles: []};
  VERDICTS.set(key, known);
  return known;
};

const VERDICTS = new Map<string, Assignability>();

const UNKNOWN: DeviceAssignability = {verdict: 'unknown', afterBind: 'unknown', checks: []};
const NOT_ASKED: GroupAssessment = {
  group: {verdict: 'unknown', afterBind: 'unknown', obstacles: []},
  devices: new Map(),
};

const listedUngrouped = (
  machine: Pick<Host, 'kernel' | 'noGroups'>,
  devices: readonly Device[],
  wanted: ((device: Device) => boolean) | null,
  {explain, examined}: DocumentOptions,
): UngroupedDevice[] =>
  devices
    .filter((device) => wanted?.(device) ?? true)
    .map((device) => {
      const {verdict, afterBind, obstacles} =
        examined === null ? NOT_ASKED.group : assessUngrouped(examined, device);
      return Object.assign(device, {
        matched: true,
        assignable: {verdict, afterBind, checks: obstacles.map(({check}) => check)},
        obstacles,
        explanation: explain ? explainUngrouped(machine, device) : null,
      });
    });
