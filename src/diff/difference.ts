import {deviceDifferences, matchDevices, type DeviceDifference} from './devices.js';
import {groupDifferences, matchGroups, type GroupDifference} from './groups.js';
import {kernelDifference, type KernelDifference} from './kernel.js';
import type {ComparedMachine} from './machine.js';
import {matchUnits, unitDifferences, type UnitDifference} from './units.js';

/** Everything that differs of two machines. */
export interface Difference {
  kernel: KernelDifference;
  units: UnitDifference[];
  groups: GroupDifference[];
  devices: DeviceDifference[];
}

/** Compares two machines, in time that grows with their size. */
export const machineDifference = (a: ComparedMachine, b: ComparedMachine): Difference => {
  const [units, devices] = [matchUnits(a.units, b.units), matchDevices(a.devices, b.devices)];
  const groups = matchGroups(a.groups, b.groups, devices);
  const counterparts = {
    groups,
    units: new Map(units.pairs.map((pair) => [pair.a.name, pair.b.name])),
  };
  return {
    kernel: kernelDifference(a.kernel, b.kernel),
    units: unitDifferences(a.units, units),
    groups: groupDifferences(a.groups, b.groups, groups, devices),
    devices: deviceDifferences(devices, counterparts),
  };
};

/** How much differs. */
export interface Counts {
  /** Facts of the kernel, its command line being one. */
  kernel: number;
  units: number;
  groups: number;
  devices: Record<DeviceDifference['state'], number>;
  /** Devices that moved of which it is a guess which of their model they are. */
  guesses: number;
}

export const countsOf = ({kernel, units, groups, devices}: Difference): Counts => {
  const count = (state: DeviceDifference['state']): number =>
    devices.filter((device) => device.state === state).length;
  return {
    kernel: kernel.changes.length,
    units: units.length,
    groups: groups.length,
    devices: {gone: count('gone'), new: count('new'), moved: count('moved'), changed: count('changed')},
    guesses: devices.filter(({guess}) => guess).length,
  };
};

export const isNone = ({kernel, units, groups, devices}: Difference): boolean =>
  kernel.changes.length + units.length + groups.length + devices.length === 0;
