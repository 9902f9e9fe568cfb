import type {ChalkInstance} from 'chalk';
import type {GroupsDocument, ListedDevice, ListedGroup} from '../../groups/groups-document.js';
import type {CriterionId} from '../../groups/ranking/criteria.js';
import type {GroupRank, Ranking} from '../../groups/ranking/rank-groups.js';
import {isPciBridge} from '../../pci/class.js';
import {productName} from '../../pci/name.js';
import {printable} from '../../printable.js';
import {listed} from '../../words.js';
import {wrapped} from '../output/wrap.js';

/** What people call each criterion. */
const CRITERION_NAMES: Record<CriterionId, string> = {
  assignable: 'assignable',
  isolation: 'isolation',
  numa: 'NUMA',
  reset: 'reset',
  'boot-display': 'boot display',
};

/** The answer of `kvfio groups --rank`: each group with what decides about its place. Lines are made as they are asked for. */
export function* rankingLines(
  {groups}: Pick<GroupsDocument, 'groups'>,
  {paint, width}: {paint: ChalkInstance; width: number | null},
): Generator<string> {
  for (const [at, group] of groups.entries()) {
    const {rank} = group;
    if (rank === null) continue;
    const next = groups[at + 1];
    const head = `${rank.place}. group ${group.id}${next === undefined ? '' : `, before group ${next.id} by ${decision(rank)}`}`;
    yield* wrapped(printable(`${head}: ${devicesText(group)}`), width, '   ', '').map((line, index) =>
      index === 0 ? line.replace(head, paint.bold(head)) : line,
    );
    for (const {criterion, reason} of rank.reasons)
      yield* wrapped(printable(`${CRITERION_NAMES[criterion]}: ${reason}`), width, '     ', '   ');
  }
}

const decision = ({decidedBy}: GroupRank): string =>
  decidedBy === null || decidedBy === 'number' ? 'its number' : CRITERION_NAMES[decidedBy];

/** Bridges stay with the host, unless there is nothing else. */
const devicesText = ({devices}: ListedGroup): string => {
  const given = devices.filter(({classCode}) => !isPciBridge(classCode));
  return (given.length > 0 ? given : devices).map(deviceText).join('; ') || 'no devices';
};

const deviceText = (device: ListedDevice): string => {
  const name = productName(device) ?? device.device ?? '';
  return `${device.address}${name === '' ? '' : ` ${name}`} (${device.driver ?? 'no driver'})`;
};

/** What a ranking leaves out although it was asked for, each as one line. */
export const leftOutLines = (
  {unknownCoherency}: Ranking,
  ungrouped: GroupsDocument['ungrouped'],
): string[] => [
  ...(unknownCoherency.length === 0
    ? []
    : [
        `--coherent leaves out ${unknownCoherency.length === 1 ? 'group' : 'groups'} ${listed(unknownCoherency.map(String))}, whose verdict is unknown.`,
      ]),
  ...(ungrouped.length === 0
    ? []
    : [
        `${listed(ungrouped.map(({address}) => address))} ${ungrouped.length === 1 ? 'is in no group and has no place' : 'are in no group and have no place'}.`,
      ]),
];
