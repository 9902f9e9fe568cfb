import type {Group} from '../../iommu/group.js';
import {isNoIommu} from '../../iommu/made-up-group.js';
import {isPciBridge} from '../../pci/class.js';
import {listed} from '../../words.js';
import {groupBy} from '../../group-by.js';
import {afterBinding, isTaken} from '../../vfio/eligibility/after-binding.js';
import type {Assignable, Obstacle} from '../../vfio/eligibility/assess.js';
import {assessEach} from '../../vfio/eligibility/assess-alike.js';
import type {Call, CheckId} from '../../vfio/eligibility/check.js';
import {isPatchedForAcs, isLockedDown} from '../acs-override.js';
import {fail, pass, unknown, type HostCheck, type CheckFinding} from '../check.js';
import type {Machine} from '../machine.js';

/** What keeps groups from VMs when "kvfio bind" has done its part, by the table of eligibility: one check for each kind. */
export const obstacleChecks = (machine: Machine): HostCheck[] => {
  const found = judged(machine).flatMap(({group, obstacles}) =>
    obstacles.map((obstacle) => ({group, ...obstacle})),
  );
  return [...groupBy(found, ({check}) => check)].map(([check, each]) => ({
    id: `assignable-${check}`,
    title: 'VFIO gives out every group',
    otherwise: 'VFIO does not give out every group',
    matters: matters(each),
    neededFor: [],
    look: () => refusal(each),
  }));
};

export const GROUP_CHECKS: readonly HostCheck[] = [
  {
    id: 'assignable',
    title: 'a VM can have a group',
    otherwise: 'a VM can have no group',
    matters: 'VMs get devices by group, and some groups cannot be given to any',
    neededFor: ['passthrough'],
    look: (machine) => {
      const groups = judged(machine);
      const has = (verdict: Assignable): number => groups.filter((one) => one.verdict === verdict).length;
      if (groups.length === 0) return unknown('no group has a device that could be given to a VM');
      const total = count(groups.length);
      if (has('yes') > 0) return pass(`${has('yes')} of ${total} can be assigned after "kvfio bind"`);
      if (has('unknown') > 0) return unknown(`whether any of ${total} can be assigned does not show`);
      const ofMachine = groups.find((one) => one.ofMachine !== null)?.ofMachine ?? null;
      return ofMachine === null
        ? fail(`none of ${total} can be assigned`, NO_GROUP)
        : fail(`none of ${total} can be assigned: ${ofMachine}`, 'cure that first, as another line says');
    },
  },
  {
    id: 'shared-groups',
    title: 'each slot has a group of its own',
    otherwise: 'slots share a group',
    matters: 'devices of one group go to a VM together, or none of them does',
    neededFor: [],
    look: (machine) => {
      const shared = machine.host.groups.filter((group) => slotsOf(group).length > 1);
      if (shared.length === 0) return pass('no group has devices of several slots');
      return fail(
        shortened(shared.map((group) => `group ${group.id} has ${listed(slotsOf(group))}`)),
        splitting(machine),
      );
    },
  },
];

const NO_GROUP = 'cure what the next lines name; "kvfio groups --explain" names it for each group';

interface Judged {
  group: Group;
  verdict: Assignable;
  /** What stands in the way of it for certain, but for what is true of the whole machine. */
  obstacles: Obstacle[];
  /** What is true of the whole machine, of which a check of its own says more; null where nothing is. */
  ofMachine: string | null;
}

/** Each group of an IOMMU that has something to give, as it will be after `kvfio bind`. Of one machine it is found out once. */
const judged = (machine: Machine): Judged[] => {
  const known = JUDGED.get(machine) ?? judge(machine);
  JUDGED.set(machine, known);
  return known;
};

const JUDGED = new WeakMap<Machine, Judged[]>();

const judge = ({host, examined}: Machine): Judged[] => {
  const groups = host.groups.filter(
    (group) =>
      !isNoIommu(group) && group.devices.some((device) => device.boundToVfio || isTaken(device, group)),
  );
  const bound = examined.facts.near(() => groups.map((group) => afterBinding(examined, group)));
  return [...assessEach(examined, bound)].map(([group, {group: assessment}]) => {
    const {verdict, obstacles} = assessment;
    const sure = obstacles.filter(({certain}) => certain);
    const own = withoutConsequences(
      sure.filter(({check}) => check !== 'bound' && !OF_MACHINE.includes(check)),
    );
    const ofMachine = sure.find(({check}) => OF_MACHINE.includes(check))?.found ?? null;
    return {group, verdict, obstacles: own, ofMachine};
  });
};

/** Leaves out that a driver still has a member where something else keeps `kvfio bind` from it. */
const withoutConsequences = (obstacles: readonly Obstacle[]): Obstacle[] => {
  const others = obstacles.filter(({check, cure}) => check !== 'drivers' || isByHand(cure));
  return others.length === 0 ? [...obstacles] : others;
};

const isByHand = (cure: string | null): boolean => cure?.includes('"kvfio bind') === false;

/** What has a check of its own. */
const OF_MACHINE: readonly CheckId[] = ['interrupts'];

type Found = Obstacle & {group: Group};

const matters = ([first]: Found[]): string =>
  first?.errno == null
    ? 'the kernel refuses nothing, but a VM still cannot use the devices'
    : `${CALLS[first.call] ?? first.call} is answered ${first.errno} (${first.source})`;

/** Calls that are no names of the kernel's. */
const CALLS: Partial<Record<Call, string>> = {
  probe: 'binding to vfio-pci',
  open: 'opening the group',
  mmap: 'mapping the memory of the device',
};

const refusal = (found: readonly Found[]): CheckFinding => {
  const groups = found.map(({group, found: fact}) => `${group.id} (${fact})`);
  const [cure, ...others] = new Set(found.map((each) => each.cure));
  return fail(
    `${count(groups.length)} cannot be assigned: ${shortened(groups)}`,
    cure == null
      ? 'give the VM another device: kvfio knows no cure'
      : others.length === 0
        ? cure
        : `${cure}; "kvfio groups --explain" has the cures of the others`,
  );
};

const count = (groups: number): string => (groups === 1 ? '1 group' : `${groups} groups`);

const SHOWN = 6;

const shortened = (words: readonly string[]): string =>
  words.length > SHOWN
    ? `${words.slice(0, SHOWN).join(', ')} and ${words.length - SHOWN} more`
    : words.join(', ');

/** `0000:04:00`, for each slot that has a function other than a bridge. */
const slotsOf = ({devices}: Group): string[] => [
  ...new Set(
    devices
      .filter(({bus, classCode}) => bus === 'pci' && !isPciBridge(classCode) && !isHostBridge(classCode))
      .map(({address}) => address.slice(0, address.lastIndexOf('.'))),
  ),
];

const isHostBridge = (classCode: string | null): boolean => classCode?.startsWith('0600') === true;

const splitting = (machine: Machine): string => {
  const word = 'pcie_acs_override=downstream,multifunction';
  const price =
    'it splits the group, but its devices still reach each other past the IOMMU, so that a VM which has one can read and write what has the other';
  const other = 'move one to another slot, below a port with ACS; switch ACS on in the firmware set-up';
  if (isPatchedForAcs(machine))
    return `${other}; or, since this kernel carries that patch, ${machine.distribution.addParameter(word)}: ${price}`;
  return isLockedDown(machine)
    ? other
    : `${other}; or boot a kernel with the patch for ${word}, which mainline does not have: ${price}`;
};
