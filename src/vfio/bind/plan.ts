import {Failure} from '../../failure.js';
import type {Group} from '../../iommu/group.js';
import {isPciBridge} from '../../pci/class.js';
import type {HostTree} from '../../host/tree.js';
import {capital} from '../../words.js';
import {factOf, type Examined} from '../eligibility/check.js';
import {parentInGroup} from '../eligibility/driver-domain.js';
import {probeRefusal, vgpuOf} from '../eligibility/probe-checks.js';
import {readBinding, readId, type Binding, type BindTarget} from './binding.js';
import {VFIO_PCI, type DriverChoice, type DriverChooser, type DriverWish} from './driver-choice.js';
import type {JournalEntry} from './journal.js';
import type {Member} from './members.js';
import {stepsBetween, type Goal, type DriverStep} from './steps.js';
import {knownFunctionsOf} from './virtual-functions.js';

/** What is to become of a device. */
export interface PlannedDevice {
  member: Member;
  target: BindTarget;
  before: Binding;
  /** Null: it is left alone, for `reason`. */
  goal: Goal | null;
  reason: string | null;
  /** The driver of VFIO that it is to have, when it was chosen for it. */
  choice?: DriverChoice;
}

/** The user who is to own a group's node. */
export interface NewOwner {
  uid: number;
  name: string;
}

/**
 * What `bind` does with each device. Bridges and members that VFIO accepts as they are stay what they are, unless they
 * are named: a driver that is good for nothing but to keep the host away can then be replaced.
 *
 * @throws {@link Failure} for what the driver can never drive
 */
export const planBind = (tree: HostTree, {examined, members, chooser, wish}: BindWish): PlannedDevice[] => {
  const plan = members.map((member) => {
    const choice = chooser.choose(member.device, wish ?? VFIO_PCI);
    const reason = reasonToLeave(examined, member, {choice, isWished: wish !== undefined});
    if (reason !== null) return planned(tree, member, null, reason);
    const {driver} = choice;
    return {...planned(tree, member, {driver, override: driver}, null), choice};
  });
  return withoutFunctions(tree, plan);
};

/**
 * Virtual functions go with the driver of their physical one, so that nothing can be planned for both.
 *
 * @throws {@link Failure} for one that is named beside its physical one
 */
const withoutFunctions = (tree: HostTree, plan: readonly PlannedDevice[]): PlannedDevice[] => {
  const physical = new Map(
    plan
      .filter(losesDriver)
      .flatMap((one) => knownFunctionsOf(tree, one.target.path).map((path) => [path, one] as const)),
  );
  return plan.map((one) => {
    const parent = physical.get(one.target.path);
    if (parent === undefined || one.goal === null) return one;
    const {address} = parent.target;
    const driver = parent.before.driver ?? '';
    if (one.member.named)
      throw refusalFor(one.target.address, one.choice?.driver ?? VFIO_PCI)(
        `It is a virtual function of ${address}, which is to lose the driver (${driver}) that has made it: it goes with that driver.`,
        `Leave out ${one.target.address} or ${address}.`,
      );
    return planned(tree, one.member, null, `it goes with ${address}, whose driver (${driver}) has made it`);
  });
};

/** Whether a device has a driver, and gets another one. */
export const losesDriver = ({before, goal}: PlannedDevice): boolean =>
  before.driver !== null && goal !== null && goal !== 'any' && goal.driver !== before.driver;

export interface BindWish {
  examined: Examined;
  members: readonly Member[];
  chooser: DriverChooser;
  /** Undefined: vfio-pci, and what another driver of VFIO has stays with that. */
  wish: DriverWish | undefined;
}

/**
 * What `unbind` does with each device: what a journal says. Others of VFIO's are left to it, or get whatever driver the kernel thinks
 * best.
 *
 * @param entries of binds that came to their end; null when the journal cannot be read
 * @param takesForeign whether it takes what kvfio did not bind
 */
export const planUnbind = (
  tree: HostTree,
  members: readonly Member[],
  {entries, takesForeign}: {entries: readonly JournalEntry[] | null; takesForeign: boolean},
): PlannedDevice[] =>
  members.map((member) => {
    const original = originalOf(tree, member, entries ?? []);
    if (original !== null) {
      const plan = planned(tree, member, original, null);
      return plan.before.driver === original.driver && plan.before.override === original.override
        ? {...plan, goal: null, reason: 'it is as it was'}
        : plan;
    }
    if (!isVfios(member)) return planned(tree, member, null, 'VFIO does not have it');
    return takesForeign || entries === null
      ? planned(tree, member, 'any', null)
      : planned(tree, member, null, FOREIGN);
  });

/** Why `unbind` leaves a device to VFIO. */
const FOREIGN = 'kvfio did not bind it (--force-foreign takes it anyway)';

/** Whether VFIO has a device that kvfio could give to another driver. */
const isVfios = ({device: {boundToVfio, bus}}: Member): boolean => boundToVfio && bus === 'pci';

/** The members that VFIO has and no journal knows of. */
export const foreignAmong = (
  tree: HostTree,
  members: readonly Member[],
  entries: readonly JournalEntry[],
): Member[] => members.filter((member) => isVfios(member) && originalOf(tree, member, entries) === null);

export const stepsOf = (plan: readonly PlannedDevice[]): DriverStep[] =>
  plan.flatMap(({target, before, goal}) => (goal === null ? [] : stepsBetween(target, before, goal)));

/** The groups of the devices, each once. */
export const groupsOf = (members: readonly Member[]): Group[] => [
  ...new Set(members.flatMap(({group}) => group ?? [])),
];

const planned = (tree: HostTree, member: Member, goal: Goal | null, reason: string | null): PlannedDevice => {
  const {address, path, driver, vendorId, deviceId} = member.device;
  const id = readId(tree, path) ?? `${vendorId ?? ''}:${deviceId ?? ''}`;
  const target = {address, path, id};
  return {member, target, before: readBinding(tree, target) ?? {driver, override: null}, goal, reason};
};

const originalOf = (
  tree: HostTree,
  {device: {path}}: Member,
  entries: readonly JournalEntry[],
): Binding | null => {
  const id = readId(tree, path);
  const last = entries
    .flatMap(({devices}) => devices)
    .filter((device) => device.path === path && device.id === id)
    .at(-1);
  return last?.original ?? null;
};

const reasonToLeave = (
  examined: Examined,
  {device, group, named}: Member,
  {choice, isWished}: {choice: DriverChoice; isWished: boolean},
): string | null => {
  const {address, bus, driver, classCode} = device;
  const cannotBind = refusalFor(address, choice.driver);
  if (device.boundToVfio && (!isWished || bus !== 'pci' || driver === choice.driver))
    return `${driver ?? 'VFIO'} has it already`;
  const vgpu = device.boundToVfio ? vgpuOf(examined.facts, device) : null;
  if (vgpu !== null) {
    if (!named) return `${vgpu.driver} gives it to VMs as a vGPU of type ${vgpu.type}`;
    throw cannotBind(
      `It is a vGPU of type ${vgpu.type}, which its driver ${vgpu.driver} gives to VMs itself.`,
      `Leave it to ${vgpu.driver}, or write 0 to ${vgpu.file} first.`,
    );
  }
  const blocks = group?.blockers.some((blocker) => blocker.address === address) ?? true;
  if (bus !== 'pci') {
    if (!blocks) return 'it is not a PCI device, and VFIO accepts it';
    throw cannotBind(
      `It is a device of the bus ${bus ?? 'unknown'}, and ${choice.driver} drives PCI functions.`,
    );
  }
  const parent = group === null ? undefined : parentInGroup(device, group);
  if (parent !== undefined) {
    if (!named)
      return `it goes with ${parent.address}, whose driver (${parent.driver ?? 'none'}) has made it`;
    throw cannotBind(
      `It is behind ${parent.address}, whose driver (${parent.driver ?? 'none'}) has made it: VFIO takes their group only without that driver, and the device goes with it.`,
      `Give ${parent.address} to vfio-pci with all that is behind it, or have the firmware show the devices by themselves.`,
    );
  }
  if (isPciBridge(classCode) && !named) return 'it is a bridge';
  if (!named && !blocks && !device.boundToVfio) {
    if (driver !== null) return `VFIO accepts it with ${driver}`;
    if (classCode?.startsWith('06') === true) return 'it is a bridge without a driver';
  }
  // whose virtual functions are there, the guard of them refuses
  const refusal = probeRefusal(device, group, examined, [
    'virtual-functions',
    ...(choice.driver === VFIO_PCI ? [] : (['denylist'] as const)),
  ]);
  if (refusal === null) {
    if (choice.fits) return null;
    throw cannotBind(
      `No alias of ${choice.module} names it (vfio_pci: in modules.alias), so that driver is not made for it.`,
      'Use --driver auto, which finds the driver that is, or leave --driver out.',
    );
  }
  const {found, cure, errno} = refusal;
  throw cannotBind(
    `${capital(factOf(found, [address]))}${errno === null ? '' : `: ${choice.driver} answers ${errno}`}.`,
    cure === null ? undefined : `${capital(cure)}.`,
  );
};

const refusalFor =
  (address: string, driver: string) =>
  (why: string, hint = 'Leave it out.'): Failure =>
    new Failure({
      code: 'CANNOT_BIND',
      kind: 'refused',
      what: `${address} cannot be given to ${driver}.`,
      why,
      hint,
    });
