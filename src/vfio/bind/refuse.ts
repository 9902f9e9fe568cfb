import {Failure} from '../../failure.js';
import {readHost, type Host} from '../../iommu/host.js';
import {goesAlong} from '../eligibility/driver-domain.js';
import {readOpenNodes} from '../holders.js';
import type {Finding, GuardName} from './bind-document.js';
import type {Doubt} from './guards/guard.js';
import {findings} from './guards/guards.js';
import type {JournalEntry} from './journal.js';
import {groupsOf, type PlannedDevice} from './plan.js';
import type {BindSetting} from './setting.js';

/** What guards found: overruled by the user, and not. */
export interface Judgement {
  overruled: Finding[];
  refused: Finding[];
  /** What a dry run leaves open. */
  doubts: Doubt[];
}

/** Asks the guards about the devices that would lose their driver. */
export const judge = (
  {tree, addresses}: BindSetting,
  host: Host,
  plan: readonly PlannedDevice[],
  {
    guards,
    force,
    dryRun,
  }: {guards?: Parameters<typeof findings>[1]; force: readonly GuardName[]; dryRun: boolean},
): Judgement => {
  const members = plan.filter(({goal}) => goal !== null).map(({member}) => member);
  const taken = members.map(({device}) => device);
  const along = groupsOf(members).flatMap((group) => goesAlong(taken, group));
  const live = tree.origin.kind === 'host';
  const doubts: Doubt[] = live || !dryRun ? [] : [{code: 'NOT_ASKED', message: CAPTURE_CANNOT_SAY}];
  const found = findings(
    {
      tree,
      devices: [...taken, ...along.filter((device) => !taken.includes(device))],
      groups: groupsOf(members),
      allDevices: [...host.groups.flatMap(({devices}) => devices), ...host.ungrouped],
      addresses,
      live,
      passive: dryRun,
      doubt: (doubt) => doubts.push(doubt),
      openNodes: readOpenNodes,
    },
    guards,
  );
  return {
    overruled: found.filter(({guard}) => force.includes(guard)),
    refused: found.filter(({guard}) => !force.includes(guard)),
    doubts,
  };
};

const CAPTURE_CANNOT_SAY =
  'what the machine needs the devices for, such as mounts, addresses and programs, a capture cannot say: "kvfio bind" may refuse there what is planned here';

/** @throws {@link Failure} that names everything that stands in the way */
export const refuse = (refused: readonly Finding[], what: string): void => {
  if (refused.length === 0) return;
  const flags = [...new Set(refused.map(({guard}) => `--force-${guard}`))];
  throw new Failure({
    code: `GUARD_${(refused[0]?.guard ?? '').toUpperCase()}`,
    kind: 'refused',
    what,
    why: refused.map(({device, found}) => `${device}: ${found}.`).join('\n'),
    hint: refused.every(({guard}) => guard === 'foreign')
      ? `Have whoever gave it to VFIO take it back, or say ${flags.join(' ')}: it then gets whatever driver the kernel finds.`
      : `Free it first. Who knows better says so with ${flags.join(' ')}.`,
  });
};

/**
 * @throws {@link Failure} when work on one of the devices, or on the node of its group, was cut short: what it was before
 * is what that entry says, and not what it is now. Whoever has the devices locked knows that nobody is at it any more.
 */
export const refuseInterrupted = (entries: readonly JournalEntry[], addresses: readonly string[]): void => {
  const cut = entries.filter(
    ({state, members}) => state === 'open' && members.some((member) => addresses.includes(member)),
  );
  const [first] = cut;
  if (first === undefined) return;
  const device = cut.flatMap(({devices}) => devices).find(({address}) => addresses.includes(address));
  throw new Failure({
    code: 'INTERRUPTED',
    kind: 'refused',
    what:
      device === undefined
        ? `Work on ${first.members.join(', ')} was cut short.`
        : `${device.address} is half-way between two drivers.`,
    why: `A former kvfio was ended while it changed ${device === undefined ? 'drivers or the owner of a node' : 'its driver'}.`,
    hint: 'Run "kvfio unbind --recover", which gives every such device its original driver, and nodes their owner.',
  });
};

/** The machine as these commands need it. */
export const readBindHost = ({tree}: BindSetting): Host => readHost(tree, {noSnoop: false, details: false});
