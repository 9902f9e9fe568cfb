import {listed} from '../../words.js';
import type {Device} from '../../iommu/device.js';
import type {Group} from '../../iommu/group.js';
import {groupBy} from '../../group-by.js';
import {isPciBridge} from '../../pci/class.js';
import {afterBinding, isTaken} from './after-binding.js';
import type {
  Assignability,
  Assignable,
  DeviceAssignability,
  GroupAssessment,
  Obstacle,
} from './assignability.js';
import {
  applies,
  factOf,
  possible,
  type KernelCheck,
  type CheckId,
  type Examined,
  type Found,
} from './check.js';
import {GROUP_ELIGIBILITY_CHECKS} from './group-checks.js';
import {joined, joinedGroups} from './joined.js';
import {DRIVER_PROBE_CHECKS} from './probe-checks.js';

export type {Assignability, Assignable, DeviceAssignability, GroupAssessment, Obstacle};

/** The checks in the order of the kernel. */
export const ELIGIBILITY_CHECKS = [...DRIVER_PROBE_CHECKS, ...GROUP_ELIGIBILITY_CHECKS];

/** Judges a group as its members are bound now, and as they would be after `kvfio bind`. */
export const assess = (host: Examined, group: Group): GroupAssessment =>
  joined(possible(host).map((each) => assessBy(each, group)));

/** Judges a group by the kernel's code of one version. */
const assessBy = (host: Examined, group: Group): GroupAssessment => {
  const now = judge(host, group);
  const bindable = group.devices.some((device) => isTaken(device, group));
  const then = bindable ? judge(host, afterBinding(host, group), doubtsOf(now)) : now;
  const devices = new Map(
    group.devices.map(({address}) => {
      const own = now.devices.get(address) ?? NOTHING;
      // one that is not there then has gone along with another
      return [
        address,
        {
          verdict: verdictOf(own),
          afterBind: then === now ? verdictOf(own) : verdictOf(then.devices.get(address) ?? own),
          checks: [...new Set(own.map(({id}) => id))],
        },
      ];
    }),
  );
  return {
    group: {
      verdict: now.verdict,
      afterBind: then.verdict,
      obstacles: merged(
        now.obstacles.map((obstacle) =>
          obstacle.cureIsBind === true && then.obstacles.some(({id}) => id === obstacle.id)
            ? {...obstacle, cure: laterCure(obstacle, now.obstacles)}
            : obstacle,
        ),
      ),
    },
    devices,
  };
};

/** Binding alone does not help; it does once the rest is cured, if anything cures that. */
const laterCure = ({device, cure}: FoundBy, all: readonly FoundBy[]): string | null => {
  const rest = all.filter((one) => one.device === device && one.certain && one.cureIsBind !== true);
  return cure === null || rest.length === 0 || rest.some((one) => one.cure === null)
    ? null
    : `cure the rest first, then ${cure}`;
};

/** Judges a device that is in no group. */
export const assessUngrouped = (host: Examined, device: Device): Assignability =>
  joinedGroups(possible(host).map((each) => assessUngroupedBy(each, device)));

const assessUngroupedBy = (host: Examined, device: Device): Assignability => {
  const obstacles = ofDevice(host, device, null);
  const verdict = verdictOf(obstacles);
  const after = verdictOf(obstacles.filter(({id}) => id !== 'bound'));
  return {verdict, afterBind: after, obstacles: merged(obstacles)};
};

type FoundBy = KernelCheck & Found;

const NOTHING: readonly FoundBy[] = [];

interface Judged {
  verdict: Assignable;
  /** Obstacles of each member, those of the group included. */
  devices: Map<string, FoundBy[]>;
  /** What decides for the group. */
  obstacles: FoundBy[];
}

/** What vfio-pci may answer to members that it does not have yet. */
const doubtsOf = ({devices}: Judged): Map<string, FoundBy[]> =>
  new Map([...devices].map(([address, found]) => [address, found.filter(isProbeDoubt)]));

const isProbeDoubt = ({id, certain}: FoundBy): boolean =>
  !certain && DRIVER_PROBE_CHECKS.some((check) => check.id === id);

const judge = (
  host: Examined,
  group: Group,
  doubts: ReadonlyMap<string, readonly FoundBy[]> = new Map(),
): Judged => {
  const whole = GROUP_ELIGIBILITY_CHECKS.flatMap((check) =>
    check.subject === 'group' && applies(check, host)
      ? check.look(group, host).map((found) => ({...answerFor(host, check), ...found}))
      : [],
  );
  const devices = new Map(
    group.devices.map((device) => [
      device.address,
      [...(doubts.get(device.address) ?? []), ...ofDevice(host, device, group), ...whole],
    ]),
  );
  const each = candidates(group).map(({address}) => devices.get(address) ?? []);
  const verdicts = each.map(verdictOf);
  const verdict = (['yes', 'unknown'] as const).find((one) => verdicts.includes(one)) ?? 'no';
  // one member that a VM can have is enough, and what keeps others does not matter then
  const obstacles = verdict === 'yes' ? [] : each.length === 0 ? whole : [...new Set(each.flat())];
  return {verdict, devices, obstacles: inOrder(obstacles)};
};

/** The members that the question is about: those that VFIO has, else those that it could be given. */
const candidates = (group: Group): readonly Device[] =>
  [
    group.devices.filter(({boundToVfio}) => boundToVfio),
    group.devices.filter((device) => isTaken(device, group)),
    group.devices.filter(({classCode}) => !isPciBridge(classCode)),
  ].find((some) => some.length > 0) ?? group.devices;

const ofDevice = (host: Examined, device: Device, group: Group | null): FoundBy[] =>
  ELIGIBILITY_CHECKS.flatMap((check) => {
    const found = check.subject === 'device' && applies(check, host) ? check.look(device, group, host) : null;
    return found === null ? [] : [{...answerFor(host, check), ...found}];
  });

const answerFor = ({by}: Examined, check: KernelCheck): KernelCheck =>
  by === 'cdev' ? {...check, ...check.byCdev} : check;

const verdictOf = (obstacles: readonly Found[]): Assignable =>
  obstacles.some(({certain}) => certain) ? 'no' : obstacles.length > 0 ? 'unknown' : 'yes';

const inOrder = (obstacles: readonly FoundBy[]): FoundBy[] =>
  [...obstacles].sort((a, b) => ORDER.indexOf(a.id) - ORDER.indexOf(b.id));

const ORDER: readonly CheckId[] = [...new Set(ELIGIBILITY_CHECKS.map(({id}) => id))];

/** What one check found, and one cure removes, is one obstacle. */
const merged = (obstacles: readonly FoundBy[]): Obstacle[] =>
  [...groupBy(obstacles, ({id, certain, cure}) => JSON.stringify([id, certain, cure])).values()].flatMap(
    (each) => {
      const [first] = each;
      if (first === undefined) return [];
      const {id: check, certain, call, errno, source, cure} = first;
      const facts = [...groupBy(each, ({found}) => found)].map(([found, alike]) =>
        factOf(found, membersOf(alike)),
      );
      return [
        {
          check,
          devices: membersOf(each),
          certain,
          call,
          errno,
          source,
          exact: true,
          found: listed(facts),
          cure,
        },
      ];
    },
  );

const membersOf = (obstacles: readonly Found[]): string[] => [
  ...new Set(obstacles.flatMap(({device}) => device ?? [])),
];
