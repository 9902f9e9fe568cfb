import type {Host} from '../../iommu/host.js';
import {SyscallError} from '../../linux/errno.js';
import {bindingsBefore, changes, goalsOf, type DriverOptions} from './bind.js';
import type {UnbindDocument} from './bind-document.js';
import {changeDocument, type DriverChange} from './change-document.js';
import {bootOf, journalledDevice, newEntry} from './entry.js';
import {foreignFindings} from './foreign.js';
import type {Doubt} from './guards/guard.js';
import type {JournalEntry} from './journal.js';
import {whileLocked} from './locked.js';
import {membersOf, type Request} from './members.js';
import {foreignAmong, planUnbind, stepsOf, type PlannedDevice} from './plan.js';
import {readableEntries, refuseInterrupted, refuseInterruptedUnlocked} from './interrupted.js';
import {judge, readBindHost, refuseBind} from './judge.js';
import {hostSetting, type BindSetting} from './setting.js';
import {DRIVERS} from './steps.js';
import {conclude, runTransaction} from './transaction.js';

/**
 * Returns devices to what they were before `kvfio bind`. Those that somebody else gave to VFIO are left to it, unless the guard
 * `foreign` is overruled: then they lose their override and get the driver that the kernel finds for them. All or none.
 *
 * @throws Failure as for bindDevices
 */
export const unbindDevices = async (request: Request, options: DriverOptions): Promise<UnbindDocument> => {
  const {setting = hostSetting(), dryRun} = options;
  const {tree} = setting;
  const host = readBindHost(setting);
  const addresses = membersOf(host, request).map(({device}) => device.address);
  const answer = (change: DriverChange): UnbindDocument => {
    const document = changeDocument(setting, change);
    return {
      ...document,
      command: 'unbind',
      recover: false,
      selected: [...(request.selected ?? [])],
      warnings: [...document.warnings, ...afterwards(change, document.devices)],
    };
  };
  if (dryRun) {
    const entries = readableEntries(setting, addresses);
    refuseInterruptedUnlocked(setting, entries ?? [], addresses);
    return answer(unbindChange(setting, host, request, {...options, entries}));
  }
  return whileLocked(setting, addresses, options, async (machine) => {
    const entries = machine.journal.entries(addresses);
    const change = unbindChange(setting, readBindHost(setting), request, {...options, entries});
    const {plan, steps} = change;
    refuseInterrupted(
      entries,
      plan.map(({target}) => target.address),
    );
    refuseBind(change.refused, 'The devices were not taken from VFIO.');
    for (const name of change.modules) {
      await setting.loadModule(name);
      options.onNote(`loaded the module ${name}, which stays loaded`);
    }
    const isNoted = ({target: {path}}: PlannedDevice): boolean =>
      entries.some(({devices}) => devices.some((device) => device.path === path));
    const entry = newEntry('unbind', tree, {
      members: plan.map(({target}) => target.address),
      // one that is as it was already is in it to be forgotten at its end
      devices: plan
        .filter((planned) => changes(planned) || isNoted(planned))
        .map((planned) => ({
          ...journalledDevice(tree, planned),
          ...(typeof planned.goal === 'object' && planned.goal !== null
            ? {original: planned.goal, module: moduleOf(entries, planned.target.path)}
            : {}),
        })),
      nodes: [],
    });
    if (steps.length > 0)
      await runTransaction(machine, entry, {steps, before: bindingsBefore(plan), goals: goalsOf(plan)});
    conclude(() => {
      machine.journal.end(entry, 'removed');
    });
    return answer(change);
  });
};

const unbindChange = (
  setting: BindSetting,
  host: Host,
  request: Request,
  {force, dryRun, entries}: DriverOptions & {entries: readonly JournalEntry[] | null},
): DriverChange => {
  const {tree} = setting;
  const boot = bootOf(tree);
  const done = entries?.filter((entry) => entry.state === 'done' && entry.boot === boot) ?? null;
  const members = membersOf(host, request);
  const plan = planUnbind(tree, members, {entries: done, takesForeign: force.includes('foreign')});
  const held = judge(setting, host, plan, {guards: ['held'], force, dryRun});
  const foreign =
    done === null
      ? {overruled: [], refused: [], doubts: plan.some(changes) ? [UNREADABLE] : []}
      : foreignFindings(foreignAmong(tree, members, done), force);
  return {
    plan,
    steps: stepsOf(plan),
    modules: missingModules(setting, plan, done ?? []),
    dryRun,
    overruled: [...held.overruled, ...foreign.overruled],
    refused: [...held.refused, ...foreign.refused],
    doubts: [...held.doubts, ...foreign.doubts],
  };
};

const UNREADABLE: Doubt = {
  code: 'JOURNAL_UNREADABLE',
  message:
    'only root may read which devices kvfio has bound: unbind leaves alone those that it has not bound, and returns the others to the drivers that they had',
};

/** Modules of original drivers that are not there any more. */
const missingModules = (
  {tree}: BindSetting,
  plan: readonly PlannedDevice[],
  entries: readonly JournalEntry[],
): string[] => [
  ...new Set(
    plan.flatMap(({goal, target}) => {
      if (goal === null || goal === 'any' || goal.driver === null) return [];
      if (!(tree.list(`${DRIVERS}/${goal.driver}`) instanceof SyscallError)) return [];
      return moduleOf(entries, target.path) ?? [];
    }),
  ),
];

const moduleOf = (entries: readonly JournalEntry[], path: string): string | null =>
  entries
    .flatMap(({devices}) => devices)
    .filter((device) => device.path === path)
    .at(-1)?.module ?? null;

const afterwards = (
  {dryRun, plan}: DriverChange,
  devices: UnbindDocument['devices'],
): UnbindDocument['warnings'] =>
  dryRun
    ? []
    : devices.flatMap(({address, after, outcome}) => {
        const asked = plan.find(({target}) => target.address === address)?.goal === 'any';
        return asked && outcome === 'changed' && after.driver === null
          ? [{code: 'NO_DRIVER', message: `no driver has taken ${address}; its module may not be loaded`}]
          : [];
      });
