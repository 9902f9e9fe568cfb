import type {ComparedDevice, ComparedGroup, ComparedMachine} from '../diff/machine.js';

/** What `kvfio watch` follows of a device. */
export type WatchedDevice = Omit<ComparedDevice, 'serial' | 'place'>;

/** What it follows of a group. */
export type WatchedGroup = Omit<ComparedGroup, 'devices'> & {
  /** Addresses of the members. */
  devices: string[];
};

/** What is known of a machine at a moment. */
export interface MachineState {
  /** Devices by their folders in /sys. */
  devices: Map<string, WatchedDevice>;
  /** Groups by their numbers. */
  groups: Map<number, WatchedGroup>;
}

export const stateOf = ({devices, groups}: ComparedMachine): MachineState => ({
  devices: new Map(devices.map((device) => [device.path, watchedDevice(device)])),
  groups: new Map(
    groups.map((group) => [group.group, {...group, devices: group.devices.map(({address}) => address)}]),
  ),
});

const watchedDevice = (device: ComparedDevice): WatchedDevice => ({
  ...{address: device.address, bus: device.bus, path: device.path, ids: device.ids, name: device.name},
  ...{group: device.group, driver: device.driver, iommu: device.iommu},
  ...{snoop: device.snoop, assignable: device.assignable, afterBind: device.afterBind},
});

/** Takes a device out of a state, and its group when that has no other. */
export const removeDevice = ({devices, groups}: MachineState, folder: string): void => {
  const device = devices.get(folder);
  devices.delete(folder);
  const group = groups.get(device?.group ?? -1);
  if (device === undefined || group === undefined) return;
  group.devices = group.devices.filter((address) => address !== device.address);
  if (group.devices.length === 0) groups.delete(group.group);
};
