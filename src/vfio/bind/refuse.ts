import {Failure} from '../../failure.js';
import {readHost, type Host} from '../../iommu/host.js';
import {goesAlong} from '../eligibility/driver-domain.js';
import {readOpenNodes} from '../holders.js';
import type {Finding, GuardName} from './bind-document.js';
import type {Doubt} from './guards/guard.js';
import {findings} from './guards/guards.js';
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

/** The machine as these commands need it. */
export const readBindHost = ({tree}: BindSetting): Host => readHost(tree, {noSnoop: false, details: false});
