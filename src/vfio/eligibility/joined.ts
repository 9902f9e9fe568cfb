import type {
  Assignability,
  Assignable,
  DeviceAssignability,
  GroupAssessment,
  Obstacle,
} from './assignability.js';

/** What is true by the code of each of several versions, of which a kernel has one; the oldest comes first. */
export const joined = (assessments: readonly GroupAssessment[]): GroupAssessment => {
  const [first, ...others] = assessments;
  if (first === undefined) throw new Error('there is no version to judge by');
  if (others.length === 0) return first;
  const devices = new Map(
    [...first.devices.keys()].map((address): [string, DeviceAssignability] => {
      const each = assessments.flatMap((assessment) => assessment.devices.get(address) ?? []);
      return [
        address,
        {
          verdict: common(each.map(({verdict}) => verdict)),
          afterBind: common(each.map(({afterBind}) => afterBind)),
          checks: [...new Set(each.flatMap(({checks}) => checks))],
        },
      ];
    }),
  );
  return {group: joinedGroups(assessments.map(({group}) => group)), devices};
};

export const joinedGroups = (all: readonly Assignability[]): Assignability => {
  const [first, ...others] = all;
  if (first === undefined) throw new Error('there is no version to judge by');
  if (others.length === 0) return first;
  const found = new Map(
    all.flatMap(({obstacles}) => obstacles).map((obstacle) => [keyOf(obstacle), obstacle] as const),
  );
  return {
    verdict: common(all.map(({verdict}) => verdict)),
    afterBind: common(all.map(({afterBind}) => afterBind)),
    obstacles: [...found.keys()].map((key) =>
      inAll(all.map(({obstacles}) => obstacles.find((obstacle) => keyOf(obstacle) === key))),
    ),
  };
};

const common = (verdicts: readonly Assignable[]): Assignable => {
  const [only, ...others] = new Set(verdicts);
  return only === undefined || others.length > 0 ? 'unknown' : only;
};

const keyOf = ({check, devices}: Obstacle): string => JSON.stringify([check, devices]);

/** The answer is that of the oldest version which refuses. */
const inAll = (each: readonly (Obstacle | undefined)[]): Obstacle => {
  const there = each.filter((obstacle) => obstacle !== undefined);
  const [oldest] = there;
  if (oldest === undefined) throw new Error('no version has found it');
  const isSure = there.length === each.length && there.every(({certain}) => certain);
  const isSame = there.every(({call, errno}) => call === oldest.call && errno === oldest.errno);
  return {...oldest, certain: isSure, exact: isSame};
};
