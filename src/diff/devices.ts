import {compareAddresses} from '../pci/address.js';
import {changesOf, type FactChange, type FactValues} from './change.js';
import type {ComparedDevice} from './machine.js';
import {match, type Matched, type MatchStep} from './match.js';
import {areOthers} from '../pci/serial.js';

/**
 * How the counterpart of a device was found: by its serial, by its place (the slots that lead to it), by its name on another bus than
 * PCI, or as the next one of its model that was left, of which those with the same number of function come first.
 */
export type MatchedBy = 'serial' | 'path' | 'name' | 'function' | 'ids';

/** What may differ of a device that both machines have. */
export type DeviceField =
  'ids' | 'serial' | 'group' | 'driver' | 'iommu' | 'snoop' | 'assignable' | 'afterBind';

/** A device that is not the same in both machines. */
export interface DeviceDifference {
  /** `gone`: only A has it; `new`: only B has it; `moved`: it has another address or place; `changed`: something else differs. */
  state: 'gone' | 'new' | 'moved' | 'changed';
  a: ComparedDevice | null;
  b: ComparedDevice | null;
  /** Whether one that moved is in the same slot, and only the numbers of buses differ; null of what has not moved. */
  sameSlot: boolean | null;
  /** Null of what only one machine has. */
  matchedBy: MatchedBy | null;
  /** Whether another device of the same model may be the one that moved here. */
  guess: boolean;
  /** Another number of the same group, or another name of the same IOMMU unit, does not change a device. */
  changes: FactChange<DeviceField>[];
}

/** Groups and units of A, and what B calls them. */
export interface Counterparts {
  groups: ReadonlyMap<number, number>;
  units: ReadonlyMap<string, string>;
}

export type MatchedDevices = Matched<ComparedDevice, MatchedBy>;

/** Which devices of two machines are the same ones. */
export const matchDevices = (as: readonly ComparedDevice[], bs: readonly ComparedDevice[]): MatchedDevices =>
  match(as, bs, STEPS);

const functionOf = ({place}: ComparedDevice): string => place.slice(place.lastIndexOf('.') + 1);

const mayBeSame = (a: ComparedDevice, b: ComparedDevice): boolean => !areOthers(a.serial, b.serial);

const STEPS: readonly MatchStep<ComparedDevice, MatchedBy>[] = [
  {
    by: 'serial',
    // all functions of a device share its serial, and some makers give all their devices the same one
    unique: true,
    key: (device) =>
      device.serial === null
        ? null
        : `${device.ids} ${functionOf(device)} ${device.serial.kind} ${device.serial.value}`,
  },
  {
    by: 'path',
    key: ({place}) => place,
    fits: (a, b) => a.ids === b.ids || a.ids === null || b.ids === null,
  },
  {by: 'name', key: ({bus, address}) => (bus === 'pci' ? null : `${bus} ${address}`)},
  {
    by: 'function',
    key: (device) => (device.ids === null ? null : `${device.ids} ${functionOf(device)}`),
    fits: mayBeSame,
  },
  {by: 'ids', key: ({ids}) => ids, fits: mayBeSame},
];

/** What differs of the devices of two machines, by their addresses in A, or in B where A has none. */
export const deviceDifferences = (
  {pairs, onlyA, onlyB}: MatchedDevices,
  counterparts: Counterparts,
): DeviceDifference[] => {
  const both = pairs.flatMap(({a, b, by, candidates}): DeviceDifference[] => {
    const moved = a.address !== b.address || a.place !== b.place;
    const changes = changesOf(a, b, FACTS).filter((change) => !isRenaming(change, counterparts));
    return moved || changes.length > 0
      ? [
          {
            state: moved ? 'moved' : 'changed',
            a,
            b,
            sameSlot: moved ? a.place === b.place : null,
            matchedBy: by,
            guess: (by === 'function' || by === 'ids') && candidates > 1,
            changes,
          },
        ]
      : [];
  });
  return [
    ...both,
    ...onlyA.map((a): DeviceDifference => ({state: 'gone', a, b: null, ...ALONE})),
    ...onlyB.map((b): DeviceDifference => ({state: 'new', a: null, b, ...ALONE})),
  ].sort((one, other) => compareAddresses(addressOf(one), addressOf(other)));
};

const ALONE = {
  sameSlot: null,
  matchedBy: null,
  guess: false,
  changes: [],
} satisfies Partial<DeviceDifference>;

const FACTS: FactValues<ComparedDevice, DeviceField> = {
  ids: ({ids}) => ids,
  serial: ({serial}) => (serial === null ? null : `${serial.kind} ${serial.value}`),
  group: ({group}) => (group === null ? null : String(group)),
  driver: ({driver}) => driver,
  iommu: ({iommu}) => iommu,
  snoop: ({snoop}) => snoop,
  assignable: ({assignable}) => assignable,
  afterBind: ({afterBind}) => afterBind,
};

/** A serial that only one machine shows does not count as a change: whether it shows depends on who looks, and how. */
const isRenaming = ({field, a, b}: FactChange<DeviceField>, {groups, units}: Counterparts): boolean => {
  if (a === null || b === null) return field === 'serial';
  switch (field) {
    case 'group':
      return groups.get(Number(a)) === Number(b);
    case 'iommu':
      return units.get(a) === b;
    case 'serial':
      return a.split(' ', 1)[0] !== b.split(' ', 1)[0];
    default:
      return false;
  }
};

const addressOf = ({a, b}: DeviceDifference): string => (a ?? b)?.address ?? '';
