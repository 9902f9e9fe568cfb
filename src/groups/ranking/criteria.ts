import {listed} from '../../words.js';
import type {Device} from '../../iommu/device.js';
import type {Group} from '../../iommu/group.js';
import {isPciBridge} from '../../pci/class.js';
import {outlookOf, type Assignability, type Obstacle} from '../../vfio/eligibility/assignability.js';
import type {RankFacts} from './rank-facts.js';
import {deviceReset, RESET_QUALITIES, type DeviceReset} from './reset-quality.js';

/** A group that is to get a place. */
export interface Candidate {
  group: Pick<Group, 'id' | 'devices'>;
  assignable: Pick<Assignability, 'verdict' | 'afterBind' | 'obstacles'>;
}

/** What the caller asks for, with what the machine is like. */
export interface RankQuestion extends RankFacts {
  /** The NUMA node that the VM runs on; null: any. */
  numa: number | null;
}

/** What one criterion says of a group. */
export interface Judgement {
  /** What is compared, number by number: the smaller one comes first. */
  order: readonly number[];
  /** The finding as one word or number; null when it is unknown. */
  value: string | number | null;
  /** The same in words, without a full stop. */
  reason: string;
}

export type CriterionId = 'assignable' | 'isolation' | 'numa' | 'reset' | 'boot-display';

interface Criterion {
  id: CriterionId;
  /** Whether it counts; always when absent. */
  applies?: (question: RankQuestion) => boolean;
  judge: (candidate: Candidate, question: RankQuestion) => Judgement;
}

/** What decides about the place of a group, the weightiest first. */
export const CRITERIA: readonly Criterion[] = [
  {id: 'assignable', judge: (candidate) => judgeAssignable(candidate)},
  {id: 'isolation', judge: ({group}) => judgeIsolation(group)},
  {
    id: 'numa',
    applies: ({numa}) => numa !== null,
    judge: ({group}, question) => judgeNuma(group, question),
  },
  {id: 'reset', judge: (candidate, question) => judgeReset(resetsOf(candidate, question))},
  {id: 'boot-display', judge: ({group}, question) => judgeDisplay(group, question)},
];

/** Bridges of PCI stay with the host. */
const given = ({devices}: Candidate['group']): Device[] =>
  devices.filter(({classCode}) => !isPciBridge(classCode));

const judgeAssignable = ({group, assignable}: Candidate): Judgement => {
  const {verdict, obstacles} = assignable;
  // as "kvfio bind" refuses it (vfio/bind/bind.ts)
  if (group.devices.every(({classCode}) => classCode?.startsWith(BRIDGE) === true))
    return {order: [4], value: 'no', reason: 'it has nothing for a VM'};
  const value = outlookOf(assignable);
  if (value === 'yes') return {order: [0], value, reason: 'a VM can have it now'};
  if (value === 'after bind') return {order: [1], value, reason: 'a VM can have it after "kvfio bind"'};
  if (value === 'unknown')
    return {
      order: verdict === 'unknown' ? [2] : [3],
      value,
      reason: `whether a VM can have it is not certain${because(obstacles.filter(({certain}) => !certain))}`,
    };
  return {order: [4], value, reason: `no VM can have it${because(obstacles)}`};
};

/** Class of bridges: of the host, of ISA and of PCI. */
const BRIDGE = '06';

/** The first of what stands in the way beside the drivers, which "kvfio bind" changes. */
const because = (obstacles: readonly Obstacle[]): string => {
  const lasting = obstacles.filter(({check}) => check !== 'bound' && check !== 'drivers');
  const [first, ...others] = lasting.length > 0 ? lasting : obstacles;
  if (first === undefined) return '';
  const more = [...new Set(others.map(({check}) => check))].filter((check) => check !== first.check);
  return `: ${first.found}${more.length === 0 ? '' : ` (and ${listed(more)})`}`;
};

/** Functions of one card come before those of several, and few before many. */
const judgeIsolation = (group: Candidate['group']): Judgement => {
  const functions = given(group);
  const cards = new Set(functions.map(cardOf)).size;
  const count = functions.length;
  if (count === 0) return {order: [Infinity], value: 0, reason: 'it has nothing for a VM'};
  return {
    order: [cards, count],
    value: count,
    reason:
      count === 1
        ? 'it has one function'
        : `it has ${count} functions of ${cards === 1 ? 'one card' : `${cards} cards`}, which go together`,
  };
};

/** The functions of a card have one address but for the last digit. */
const cardOf = ({bus, address, path}: Device): string =>
  bus === 'pci' ? path.slice(0, path.lastIndexOf('.')) : address;

/** include/linux/topology.h: what the kernel takes where the firmware has no SLIT. */
const LOCAL_DISTANCE = 10;
const REMOTE_DISTANCE = 20;

/** Judges the distance of the function that is farthest away. */
const judgeNuma = (group: Candidate['group'], {numa, nodes}: RankQuestion): Judgement => {
  const asked = numa ?? 0;
  const functions = given(group);
  // of a machine with one node the firmware need not say which it is
  const only = nodes?.online.length === 1 ? (nodes.online[0] ?? null) : null;
  const at = functions.map(({numaNode}) => numaNode ?? only);
  if (functions.length === 0 || at.includes(null)) {
    const unknown = functions.filter((_, index) => at[index] === null);
    return {
      order: [Infinity],
      value: null,
      reason:
        functions.length === 0
          ? 'it has no device on a NUMA node'
          : `the machine does not say on which NUMA node ${listed(unknown.map(({address}) => address))} ${unknown.length === 1 ? 'is' : 'are'}`,
    };
  }
  const distances = at.map((node) => distanceOf(asked, node, nodes));
  const farthest = Math.max(...distances);
  const node = at[distances.indexOf(farthest)] ?? 0;
  return {
    order: [farthest],
    value: farthest,
    reason:
      node === asked
        ? `it is on NUMA node ${asked}`
        : `it is on NUMA node ${node}, at distance ${farthest} from node ${asked}`,
  };
};

const distanceOf = (asked: number, node: number | null, nodes: RankFacts['nodes']): number =>
  nodes?.distance(asked, node ?? -1) ?? (node === asked ? LOCAL_DISTANCE : REMOTE_DISTANCE);

/** How each device of a group that is not a bridge is reset. */
export const resetsOf = ({group}: Candidate, question: RankQuestion): DeviceReset[] =>
  given(group).map((device) => deviceReset(device, group.devices, question));

/** Judges the reset of the function that is worst off. */
const judgeReset = (resets: readonly DeviceReset[]): Judgement => {
  const order = Math.max(...resets.map(({quality}) => RESET_QUALITIES.indexOf(quality)));
  const worst = resets.filter(({quality}) => RESET_QUALITIES.indexOf(quality) === order);
  const [first] = worst;
  if (first === undefined) return {order: [Infinity], value: null, reason: 'it has nothing to reset'};
  return {
    order: [order],
    value: first.quality,
    reason:
      worst.length === 1
        ? first.reason
        : `${first.reason}; the same is true of ${listed(worst.slice(1).map(({address}) => address))}`,
  };
};

const judgeDisplay = (group: Candidate['group'], {bootDisplay}: RankQuestion): Judgement => {
  const found = group.devices.map((device) => ({device, ...bootDisplay(device)}));
  const boot = found.find(({is}) => is === true);
  if (boot !== undefined) return {order: [2], value: 'yes', reason: `${boot.device.address} ${boot.by}`};
  const hidden = found.find(({is}) => is === null);
  return hidden === undefined
    ? {order: [0], value: 'no', reason: 'it has no boot display'}
    : {
        order: [1],
        value: null,
        reason: `the machine does not say whether ${hidden.device.address} is the boot display`,
      };
};
