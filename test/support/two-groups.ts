import {amd, folderOf, machine, pci, port, type Machine} from './machine.js';

const unit = 'ivhd0';
const switchPort = port('0000:03:00.0', {unit, acs: null});

/** A group behind a switch, as in the lab, with a function that has no driver, and one whose override is somebody's; and a single device. */
export const twoGroups = (under?: string): Machine =>
  machine(
    {
      units: {[unit]: amd()},
      groups: {
        11: [
          switchPort,
          pci('0000:04:00.0', {unit, driver: 'e1000e', parent: folderOf(switchPort)}),
          pci('0000:05:00.0', {unit, driver: 'xhci_hcd', classCode: '0c0330', override: 'xhci_hcd'}),
          pci('0000:06:00.0', {unit, driver: null, classCode: '010601'}),
        ],
        12: [pci('0000:07:00.0', {unit, driver: 'e1000e'})],
      },
    },
    under,
  );

export const GROUPS = {groups: [11, 12], devices: []};

/** Which driver knows which device. */
export const NATIVES = {
  '0000:04:00.0': 'e1000e',
  '0000:05:00.0': 'xhci_hcd',
  '0000:06:00.0': 'ahci',
  '0000:07:00.0': 'e1000e',
};
