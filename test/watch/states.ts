import type {MachineState, WatchedDevice, WatchedGroup} from '../../src/watch/machine-state.js';

/** A device of a made-up machine. */
export const device = (parts: Partial<WatchedDevice> = {}): WatchedDevice => {
  const address = parts.address ?? '0000:00:02.0';
  return {
    ...{address, bus: 'pci', path: `/sys/devices/pci0000:00/${address}`, ids: '8086:10d3', name: 'NIC'},
    ...{group: 2, driver: null, iommu: 'dmar0', snoop: 'enforced', assignable: 'no', afterBind: 'yes'},
    ...parts,
  };
};

export const state = (
  devices: readonly WatchedDevice[],
  groups: readonly WatchedGroup[] = [],
): MachineState => ({
  devices: new Map(devices.map((each) => [each.path, {...each}])),
  groups: new Map(groups.map((each) => [each.group, each])),
});
