import {listed} from '../../words.js';
import type {Device} from '../../iommu/device.js';
import {isBusReset, isFunctionReset, resetMethod, type ResetMethod} from '../../pci/reset.js';
import type {RankFacts} from './rank-facts.js';

/**
 * How well a device comes from one VM to the next, the best first: `function` alone and whole; `bus-alone` by a reset of a bus on
 * which it is the only function; `power-state`, which leaves its state undefined; `bus-group` and `bus-shared` by a reset of
 * a bus that also reaches others, of its group and of other groups.
 */
export const RESET_QUALITIES = [
  'function',
  'bus-alone',
  'power-state',
  'bus-group',
  'bus-shared',
  'unknown',
  'none',
] as const;
export type ResetQuality = (typeof RESET_QUALITIES)[number];

/** How one device can be reset. */
export interface DeviceReset {
  address: string;
  quality: ResetQuality;
  /** Reset methods in the order in which the kernel tries them; null when it does not show any. */
  methods: ResetMethod[] | null;
  /** Functions that a reset of its bus also resets. */
  siblings: string[];
  /** The same in words, without a full stop. */
  reason: string;
}

type Facts = Pick<RankFacts, 'onBusOf' | 'showsResets'>;

/** @param members - the devices of its group */
export const deviceReset = (device: Device, members: readonly Device[], facts: Facts): DeviceReset => {
  const others = facts.onBusOf(device).filter(({path}) => path !== device.path);
  const strangers = others.filter(({path}) => !members.some((member) => member.path === path));
  const {quality, how} = qualityOf(device, {others, strangers, showsResets: facts.showsResets});
  return {
    address: device.address,
    quality,
    methods: device.resetMethods?.map(resetMethod) ?? null,
    siblings: others.map(({address}) => address),
    reason: `${device.address} ${how}`,
  };
};

interface Surroundings {
  others: readonly Device[];
  /** Those that are in other groups. */
  strangers: readonly Device[];
  showsResets: boolean;
}

const qualityOf = (
  {bus, resetMethods}: Device,
  {others, strangers, showsResets}: Surroundings,
): {quality: ResetQuality; how: string} => {
  if (bus !== 'pci') return {quality: 'unknown', how: `is no PCI function, and its driver resets it`};
  const methods = resetMethods ?? [];
  const own = methods.find(isFunctionReset);
  if (own !== undefined)
    return {quality: 'function', how: `can be reset by ${own}, which leaves others alone`};
  // the first function of a bus shows "bus" for all: the kernel looks before it has found the others
  const byBus = [methods, ...others.map((other) => other.resetMethods ?? [])]
    .flat()
    .find((method) => isBusReset(method));
  if (byBus !== undefined && others.length === 0)
    return {quality: 'bus-alone', how: `can be reset by ${byBus}, and is the only function on its bus`};
  if (methods.includes('pm'))
    return {
      quality: 'power-state',
      how: 'can be reset by pm, which leaves others alone and its own state undefined',
    };
  if (byBus !== undefined && strangers.length === 0)
    return {
      quality: 'bus-group',
      how: `can be reset only with its bus, which also resets ${addresses(others)} of the group`,
    };
  if (byBus !== undefined)
    return {
      quality: 'bus-shared',
      how: `can be reset only with its bus, which also resets ${addresses(strangers)} of other groups`,
    };
  if (methods.length > 0)
    return {quality: 'unknown', how: `can be reset by ${listed(methods)}, which kvfio does not know`};
  return showsResets
    ? {quality: 'none', how: 'cannot be reset: a VM gets it as the last one left it'}
    : {quality: 'unknown', how: 'may have a reset, which this kernel does not show'};
};

const addresses = (devices: readonly Device[]): string => listed(devices.map(({address}) => address));
