import type {Group} from '../../iommu/group.js';
import {capital} from '../../words.js';
import type {Device} from '../../iommu/device.js';
import {assess, type Obstacle} from './assess.js';
import {applies, factOf, possible, type Call, type Examined} from './check.js';
import {otherAnswer, type Explanation} from './other-answers.js';
import {DRIVER_PROBE_CHECKS} from './probe-checks.js';

/** Why the kernel answers a call so: by what the checks find of the group, else by what the call says of anything else. */
export const explainAnswer = (
  host: Examined,
  group: Group,
  {call, errno}: {call: Call; errno: string},
): Explanation => {
  for (const each of possible(host)) {
    const found = obstaclesOf(each, group).filter((one) => one.call === call && one.errno === errno);
    if (found.length > 0) return {kind: 'refused', ...obstacleWords(found)};
  }
  const other = possible(host).map((each) => otherAnswer(each, {call, errno}));
  return (
    other.find((answer) => answer !== null) ?? {
      kind: 'kernelRefused',
      why: `The kernel answered ${errno} to ${call}, for none of the reasons that kvfio knows and can see.`,
      hint: 'Look at its messages with dmesg.',
    }
  );
};

/** Why a VFIO driver does not take a device when the kernel binds it (its probe()); null where no check explains it. */
export const explainDriverProbe = (
  host: Examined,
  {device, group}: {device: Device; group: Group | null},
  errno: string,
): Pick<Explanation, 'why' | 'hint'> | null => {
  const hosts = possible(host);
  const found = DRIVER_PROBE_CHECKS.flatMap((check) => {
    const asked = check.errno === errno ? hosts.find((each) => applies(check, each)) : undefined;
    const one = asked === undefined ? null : check.look(device, group, asked);
    return one === null ? [] : [{...one, found: factOf(one.found, [device.address])}];
  });
  return found.length === 0 ? null : obstacleWords(found);
};

/** All that stands in the way of any member, even if another member is enough for a VM. */
export const obstaclesOf = (host: Examined, group: Group): Obstacle[] => assess(host, group).group.obstacles;

/** Obstacles as the reason of a failure, and what removes the first that can be removed as its hint. */
export const obstacleWords = (
  obstacles: readonly Pick<Obstacle, 'certain' | 'found' | 'cure'>[],
): Pick<Explanation, 'why' | 'hint'> => {
  const cures = obstacles.flatMap(({cure}) => cure ?? []);
  return {
    why: obstacles.map(({certain, found}) => `${capital(certain ? found : `perhaps: ${found}`)}.`).join(' '),
    hint:
      cures.length === 0
        ? 'Use another device; kvfio knows no cure.'
        : cures.map((cure) => `${capital(cure)}.`).join(' '),
  };
};
