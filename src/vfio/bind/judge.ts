import {Failure} from '../../failure.js';
import {listed} from '../../words.js';
import {readHost, type Host} from '../../iommu/host.js';
import {goesAlong} from '../eligibility/driver-domain.js';
import {readOpenNodes} from '../holders.js';
import type {GuardFinding} from './bind-document.js';
import type {Doubt} from './guards/guard.js';
import {GUARDS, type GuardName, type HostGuardName} from './guards/guard-table.js';
import {findings} from './guards/guards.js';
import {groupsOf, losesDriver, type PlannedDevice} from './plan.js';
import type {BindSetting} from './setting.js';
import {knownFunctionsOf} from './virtual-functions.js';

/** What guards found: overruled by the user, and not. */
export interface Judgement {
  overruled: GuardFinding[];
  refused: GuardFinding[];
  /** What a dry run leaves open. */
  doubts: Doubt[];
}

/** Asks the guards about the devices that would lose their driver. */
export const judge = (
  {tree, addresses}: BindSetting,
  host: Host,
  plan: readonly PlannedDevice[],
  {guards, force, dryRun}: {guards?: readonly HostGuardName[]; force: readonly GuardName[]; dryRun: boolean},
): Judgement => {
  const members = plan.filter(({goal}) => goal !== null).map(({member}) => member);
  const taken = members.map(({device}) => device);
  const allDevices = [...host.groups.flatMap(({devices}) => devices), ...host.ungrouped];
  const functions = new Set(
    plan.filter(losesDriver).flatMap(({target}) => knownFunctionsOf(tree, target.path)),
  );
  const along = [
    ...groupsOf(members).flatMap((group) => goesAlong(taken, group)),
    ...allDevices.filter(({path}) => functions.has(path)),
  ];
  const live = tree.origin.kind === 'host';
  const doubts: Doubt[] = live || !dryRun ? [] : [{code: 'NOT_ASKED', message: CAPTURE_CANNOT_SAY}];
  const found = findings(
    {
      tree,
      devices: [...taken, ...along.filter((device) => !taken.includes(device))],
      groups: [
        ...new Set([
          ...groupsOf(members),
          ...host.groups.filter(({devices}) => devices.some(({path}) => functions.has(path))),
        ]),
      ],
      allDevices,
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
  'a capture does not show what the machine needs the devices for, such as mounts, addresses and programs: "kvfio bind" may refuse there what is planned here';

/** @throws {@link Failure} that names everything that stands in the way */
export const refuseBind = (refused: readonly GuardFinding[], what: string): void => {
  if (refused.length === 0) return;
  const flags = [...new Set(refused.map(({guard}) => `--force-${guard}`))];
  throw new Failure({
    code: `GUARD_${(refused[0]?.guard ?? '').toUpperCase()}`,
    kind: 'refused',
    what,
    why: refused.map(({device, found}) => `${device}: ${found}.`).join('\n'),
    hint: refused.every(({guard}) => guard === 'foreign')
      ? `Have the program that gave it to VFIO take it back, or use ${flags.join(' ')}: the kernel then finds a driver for it.`
      : `To free it, ${listed([...new Set(refused.map(({guard}) => GUARDS[guard].toFree))])}; then run the same command again. To override this, use ${flags.join(' ')}.`,
  });
};

/** The machine as these commands need it. */
export const readBindHost = ({tree}: BindSetting): Host => readHost(tree, {noSnoop: false, details: false});
