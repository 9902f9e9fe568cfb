import {Failure} from '../../failure.js';
import {VFIO_DRIVER} from '../../iommu/device.js';
import {fullName} from '../../pci/name.js';
import type {Group} from '../../iommu/group.js';
import {readHost, type Host} from '../../iommu/host.js';
import {DirectoryTree} from '../../host/directory-tree.js';
import {SyscallError} from '../../linux/errno.js';
import {VfioGroup} from '../ioctls.js';
import {withDrivers} from '../eligibility/after-binding.js';
import {assess, type Obstacle} from '../eligibility/assess.js';
import {factOf, type Examined} from '../eligibility/check.js';
import {examine} from '../eligibility/examined.js';
import {hostNeed} from '../eligibility/host-needs.js';
import {probeAnswer} from '../eligibility/probe-checks.js';
import {readGroupNodes, type GroupNode} from '../group-node.js';
import type {BindDocument, BoundDevice, BoundGroup, GuardFinding, ListedFinding} from './bind-document.js';
import {bindingText, readBinding, type Binding} from './binding.js';
import {groupsOf, losesDriver, type PlannedDevice} from './plan.js';
import type {Judgement} from './judge.js';
import type {BindSetting} from './setting.js';
import {describeDriverStep, reaches, type DriverStep} from './steps.js';
import {changedByOthers} from './transaction.js';
import {knownFunctionsOf} from './virtual-functions.js';

/** What was planned for the devices, and whether it has been done. */
export interface DriverChange extends Judgement {
  plan: readonly PlannedDevice[];
  steps: readonly DriverStep[];
  modules: readonly string[];
  dryRun: boolean;
}

const listedFinding = (finding: GuardFinding): ListedFinding => ({...finding, address: finding.device});

/** What the commands that change drivers say in common. */
export const changeDocument = (
  setting: BindSetting,
  {plan, steps, modules, dryRun, overruled, refused, doubts}: DriverChange,
): Omit<BindDocument, 'command' | 'selected'> => {
  const host = readHost(setting.tree, {
    onlyGroups: groupsOf(plan.map(({member}) => member)).map(({id}) => id),
    noSnoop: false,
    details: false,
    regions: true,
    names: new DirectoryTree(),
  });
  return {
    schemaVersion: 1,
    dryRun,
    changed: steps.length > 0,
    devices: plan.map((planned) => boundDevice(setting, planned, {host, dryRun})),
    groups: host.groups.map((group) => boundGroup(setting, group, {plan, host, dryRun})),
    overruled: overruled.map(listedFinding),
    refused: refused.map(listedFinding),
    modules: [...modules],
    steps: steps.map(describeDriverStep),
    warnings: [
      ...host.warnings.map(({code, message}) => ({code, message})),
      ...doubts,
      ...plan.flatMap(takenFromHost),
      ...plan.flatMap(withoutIommu),
    ],
  };
};

/** The warning of a device that the host may need, and that goes to VFIO. */
const takenFromHost = ({member, before, goal}: PlannedDevice): BindDocument['warnings'] => {
  const need = hostNeed(member.device);
  return need === null || goal === null || goal === 'any' || !isVfio(goal.driver) || isVfio(before.driver)
    ? []
    : [{code: 'HOST_NEEDS', message: `${need}; a VM that has it can reach these, and the host cannot`}];
};

/** The warning of a device for which VFIO makes a group up. */
const withoutIommu = ({member: {device, group}, goal}: PlannedDevice): BindDocument['warnings'] =>
  group !== null || device.bus !== 'pci' || goal === null || goal === 'any' || !isVfio(goal.driver)
    ? []
    : [
        {
          code: 'NO_IOMMU',
          message: `${device.address} is in no IOMMU group: VFIO makes one up without an IOMMU (noiommu), which taints the kernel, and no VM can have it`,
        },
      ];

const isVfio = (driver: string | null): boolean => driver !== null && VFIO_DRIVER.test(driver);

const boundDevice = (
  {tree}: BindSetting,
  {member, target, before, goal, reason, choice}: PlannedDevice,
  {host, dryRun}: {host: Host; dryRun: boolean},
): BoundDevice => {
  const now = host.groups.flatMap(({devices}) => devices).find(({path}) => path === target.path);
  const common = {
    address: target.address,
    name: fullName(now ?? member.device),
    group: member.group?.id ?? null,
    before,
    reason,
    chosen: choice?.because ?? null,
  };
  if (goal === null) return {...common, after: before, outcome: 'left-alone'};
  if (dryRun) return {...common, after: predicted(goal), outcome: 'planned'};
  const after = readBinding(tree, target);
  if (after === null) return {...common, after: {driver: null, override: null}, outcome: 'gone'};
  if (!reaches(after, goal)) throw changedSince(target.address, after);
  return {...common, after, outcome: 'changed'};
};

const changedSince = (address: string, now: Binding): Failure =>
  new Failure({
    ...changedByOthers(`${address} has ${bindingText(now)}`),
    what: 'kvfio changed the drivers, but they are not what they should be.',
  });

const predicted = (goal: Binding | 'any'): Binding =>
  goal === 'any' ? {driver: null, override: null} : goal;

const boundGroup = (
  {tree, nodes}: BindSetting,
  group: Group,
  {plan, host, dryRun}: {plan: readonly PlannedDevice[]; host: Host; dryRun: boolean},
): BoundGroup => {
  const node = readGroupNodes(tree).find((candidate) => candidate.group === group.id);
  const common = {
    group: group.id,
    node: node?.path ?? null,
    uid: node === undefined ? null : (nodes.owner(node.path)?.uid ?? null),
  };
  const examined = examine(tree, host);
  if (dryRun) {
    const drivers = new Map(
      plan.flatMap(({member, target, goal}) =>
        member.group?.id !== group.id || goal === null || goal === 'any'
          ? []
          : [[target.path, goal.driver] as const],
      ),
    );
    const own = plan.filter(({member}) => member.group?.id === group.id);
    const then = withoutMembers(
      withDrivers(examined, group, drivers),
      own.filter(losesDriver).flatMap(({target}) => knownFunctionsOf(tree, target.path)),
    );
    const left = own.flatMap((planned) => functionsLeft(tree, examined, {group, planned}));
    if (left.length > 0) {
      const isSure = left.some(({certain}) => certain);
      const {verdict, obstacles} = verdictOn(examined, then);
      return {
        ...common,
        viable: isSure || !then.viable ? false : null,
        blockers: then.blockers,
        assignable: {
          verdict: isSure || verdict === 'no' ? 'no' : 'unknown',
          obstacles: [...left, ...obstacles],
        },
      };
    }
    const isOpen = plan.some(({member, goal}) => member.group?.id === group.id && goal === 'any');
    return {
      ...common,
      viable: then.viable && isOpen ? null : then.viable,
      blockers: then.blockers,
      assignable: verdictOn(examined, then),
    };
  }
  const viable = node === undefined || tree.origin.kind !== 'host' ? null : isViable(node);
  return {
    ...common,
    viable: viable ?? group.blockers.length === 0,
    blockers: group.blockers,
    assignable: verdictOn(examined, group),
  };
};

/** A group when these have gone. */
const withoutMembers = (group: Group, paths: readonly string[]): Group => {
  if (paths.length === 0) return group;
  const devices = group.devices.filter(({path}) => !paths.includes(path));
  const blockers = group.blockers.filter(({address}) => devices.some((device) => device.address === address));
  return {...group, devices, blockers, viable: blockers.length === 0};
};

/** The obstacle of virtual functions that may be left when their physical one is bound to VFIO, which depends on the driver that lets go of it. */
const functionsLeft = (
  tree: BindSetting['tree'],
  examined: Examined,
  {group, planned: {member, before, goal}}: {group: Group; planned: PlannedDevice},
): Obstacle[] => {
  if (goal === null || goal === 'any' || !isVfio(goal.driver)) return [];
  const {device} = member;
  if (knownFunctionsOf(tree, device.path).length === 0) return [];
  const refusal = probeAnswer({...device, boundToVfio: false}, group, examined, 'virtual-functions');
  if (refusal === null) return [];
  const {id: check, call, errno, source, found, cure} = refusal;
  const fact = factOf(found, [device.address]);
  return [
    {
      check,
      devices: [device.address],
      certain: before.driver === null,
      call,
      errno,
      source,
      exact: true,
      found:
        before.driver === null
          ? fact
          : `${fact}, and ${goal.driver ?? ''} takes it only if ${before.driver} removes them when it lets go`,
      cure,
    },
  ];
};

const verdictOn = (examined: Examined, group: Group): BoundGroup['assignable'] => {
  const {verdict, obstacles} = assess(examined, group).group;
  return {verdict, obstacles};
};

/** The kernel's word; null when somebody has the group, or its node is not here. */
const isViable = ({path}: GroupNode): boolean | null => {
  try {
    using file = VfioGroup.open(path);
    return file.status().viable;
  } catch (error) {
    if (error instanceof SyscallError) return null;
    throw error;
  }
};
