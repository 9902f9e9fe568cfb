import type {Host} from '../../iommu/host.js';
import type {HostTree} from '../../host/tree.js';
import {readBinding, readId} from './binding.js';
import {findings} from './guards/guards.js';
import {DriverChooser, VFIO_PCI} from './driver-choice.js';
import {DRIVERS} from './steps.js';

/**
 * Reads what a dry run of `kvfio bind` reads of any device, for a capture. Of what its guards look at, that is what sysfs says of
 * the devices: mounts, addresses and programs are the business of the machine alone.
 */
export const readForDryRun = (tree: HostTree, {kernel, groups, ungrouped}: Host): void => {
  const devices = [...groups.flatMap((group) => group.devices), ...ungrouped];
  for (const {address, path} of devices) {
    const id = readId(tree, path);
    if (id !== null) readBinding(tree, {address, path, id});
  }
  tree.list(`${DRIVERS}/${VFIO_PCI}`);
  const chooser = new DriverChooser(tree, kernel.release);
  for (const device of devices) if (device.bus === 'pci') chooser.choose(device, 'auto');
  findings(
    {
      tree,
      devices,
      groups,
      allDevices: devices,
      addresses: () => [],
      live: false,
      passive: true,
      doubt: () => undefined,
      openNodes: () => ({character: new Map(), block: new Map(), hidden: 0}),
    },
    ['display', 'sriov'],
  );
};
