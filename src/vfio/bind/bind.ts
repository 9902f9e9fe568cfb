import {Failure} from '../../failure.js';
import type {Host} from '../../iommu/host.js';
import {SyscallError} from '../../linux/errno.js';
import {examine} from '../eligibility/examined.js';
import type {BindDocument} from './bind-document.js';
import type {GuardName} from './guards/guard-table.js';
import {changeDocument, type DriverChange} from './change-document.js';
import {DriverChooser, type DriverWish} from './driver-choice.js';
import {journalledDevice, journalledNode, newEntry} from './entry.js';
import {whileLocked} from './locked.js';
import {membersOf, type Request} from './members.js';
import {groupsOf, planBind, stepsOf, type NewOwner, type PlannedDevice} from './plan.js';
import {readableEntries, refuseInterrupted, refuseInterruptedUnlocked} from './interrupted.js';
import {judge, readBindHost, refuseBind} from './judge.js';
import {hostSetting, type BindSetting} from './setting.js';
import {DRIVERS, type DriverStep} from './steps.js';
import {listed} from '../../words.js';
import {conclude, runTransaction, type Goals} from './transaction.js';

export interface DriverOptions {
  dryRun: boolean;
  /** Guards whose findings do not count. */
  force: readonly GuardName[];
  /** Seconds: for somebody who is at work with the devices, and for each write. */
  timeout: number;
  /** Receives one line on each thing that is done beside what was asked for. */
  onNote: (line: string) => void;
  setting?: BindSetting;
}

export interface BindOptions extends DriverOptions {
  /** The VFIO driver to bind; undefined: vfio-pci, and devices that another VFIO driver has stay with it. */
  driver?: DriverWish | undefined;
  /** The user who gets the groups' nodes; null leaves them unchanged. */
  owner: NewOwner | null;
}

/**
 * Gives devices to vfio-pci or to another driver of VFIO, all or none, and the nodes of their groups to a user.
 *
 * @throws {@link Failure}: notFound, refused by a guard, permission, timeout; rolledBack when it failed half-way
 */
export const bindDevices = async (request: Request, options: BindOptions): Promise<BindDocument> => {
  const {setting = hostSetting(), dryRun} = options;
  const host = readBindHost(setting);
  const addresses = membersOf(host, request).map(({device}) => device.address);
  const answer = (change: DriverChange): BindDocument => ({
    ...changeDocument(setting, change),
    command: 'bind',
    selected: [...(request.selected ?? [])],
  });
  if (dryRun) {
    refuseInterruptedUnlocked(setting, readableEntries(setting, addresses) ?? [], addresses);
    return answer(bindChange(setting, host, request, options));
  }
  return whileLocked(setting, addresses, options, async (machine) => {
    // what was read before the devices were locked may be true no more
    const change = bindChange(setting, readBindHost(setting), request, options);
    const {plan, steps} = change;
    refuseInterrupted(
      machine.journal.entries(plan.map(({target}) => target.address)),
      plan.map(({target}) => target.address),
    );
    refuseBind(change.refused, 'The devices were not given to VFIO.');
    if (steps.length === 0) return answer(change);
    for (const name of change.modules) {
      await setting.loadModule(name);
      options.onNote(`loaded the module ${name}, which stays loaded`);
    }
    const given = groupsOf(plan.map(({member}) => member)).filter(({id}) =>
      steps.some((step) => step.action === 'own' && step.group === id),
    );
    const entry = newEntry('bind', setting.tree, {
      members: [
        ...new Set(
          [...plan.map(({member}) => member.device), ...given.flatMap((group) => group.devices)].map(
            ({address}) => address,
          ),
        ),
      ],
      devices: plan.filter(changes).map((planned) => journalledDevice(setting.tree, planned)),
      nodes: steps.flatMap((step) =>
        step.action === 'own' ? journalledNode(setting.tree, setting.nodes, step.group) : [],
      ),
    });
    await runTransaction(machine, entry, {steps, before: bindingsBefore(plan), goals: goalsOf(plan)});
    conclude(() => {
      machine.journal.end(entry, entry.devices.length === 0 ? 'removed' : 'done');
    });
    return answer(change);
  });
};

export const changes = ({goal}: PlannedDevice): boolean => goal !== null;

export const bindingsBefore = (plan: readonly PlannedDevice[]): Map<string, PlannedDevice['before']> =>
  new Map(plan.map(({target, before}) => [target.path, before]));

export const goalsOf = (plan: readonly PlannedDevice[]): Goals =>
  new Map(plan.flatMap(({target, goal}) => (goal === null ? [] : [[target.path, goal] as const])));

const bindChange = (
  setting: BindSetting,
  host: Host,
  request: Request,
  {owner, force, dryRun, driver}: BindOptions,
): DriverChange => {
  const {tree} = setting;
  const plan = planBind(tree, {
    examined: examine(tree, host),
    members: membersOf(host, request),
    chooser: new DriverChooser(tree, host.kernel.release),
    wish: driver,
  });
  refuseBridgesAlone(plan);
  const steps = [...stepsOf(plan), ...(owner === null ? [] : ownSteps(setting, plan, owner))];
  const missing = plan.flatMap(({choice}) =>
    choice !== undefined && tree.list(`${DRIVERS}/${choice.driver}`) instanceof SyscallError
      ? choice.module
      : [],
  );
  return {
    plan,
    steps,
    modules: [...new Set(missing)],
    dryRun,
    ...judge(setting, host, plan, {force, dryRun}),
  };
};

/** @throws {@link Failure} for a group of which nothing would be given to VFIO, as bridges are all that it has */
const refuseBridgesAlone = (plan: readonly PlannedDevice[]): void => {
  for (const {id, devices} of groupsOf(plan.map(({member}) => member))) {
    const planned = plan.filter(({member}) => member.group?.id === id);
    if (planned.some((each) => changes(each) || each.member.device.boundToVfio)) continue;
    if (!devices.every(({classCode}) => classCode?.startsWith('06') === true)) continue;
    throw new Failure({
      code: 'BRIDGES_ALONE',
      kind: 'refused',
      what: `Group ${id} was not given to VFIO.`,
      why: `It has nothing for a VM: ${listed(devices.map(({address}) => address))} ${devices.length === 1 ? 'is a bridge' : 'are bridges'} of the host.`,
      hint: 'Run "kvfio groups" to see groups with other devices.',
    });
  }
};

/** Steps that give the new owner the node of each group of which VFIO will have a device. */
const ownSteps = (
  {tree, nodes}: BindSetting,
  plan: readonly PlannedDevice[],
  {uid, name}: NewOwner,
): DriverStep[] =>
  groupsOf(
    plan.filter((planned) => changes(planned) || planned.member.device.boundToVfio).map(({member}) => member),
  )
    .map(({id}) => ({id, now: journalledNode(tree, nodes, id)[0]}))
    .filter(({now}) => now?.uid !== uid)
    .map(({id, now}) => ({
      action: 'own',
      group: id,
      node: now?.path ?? `/dev/vfio/${id}`,
      uid,
      user: name,
    }));
