import {posix} from 'node:path';
import {groupBy} from '../../group-by.js';
import {Attributes, type Warning} from '../../host/attributes.js';
import {parseKernelRelease, isAtLeast} from '../../host/kernel-release.js';
import {readNumaNodes, type NumaNodes} from '../../host/numa.js';
import type {HostTree} from '../../host/tree.js';
import type {Device} from '../../iommu/device.js';
import type {Host} from '../../iommu/host.js';
import {readFramebuffers} from '../../vfio/eligibility/framebuffers.js';

/** Whether the machine was started on a display, and what shows that, without its subject; `null` says that it does not show. */
export interface BootDisplay {
  is: boolean | null;
  by: string;
}

/** What the place of a group depends on beside the group. */
export interface RankFacts {
  /** Null when the machine shows no nodes. */
  nodes: NumaNodes | null;
  /** Whether the kernel shows the reset methods of functions: then one that shows none has none. */
  showsResets: boolean;
  /** All functions on the bus of a PCI function, that one included. */
  onBusOf: (device: Device) => readonly Device[];
  bootDisplay: (device: Device) => BootDisplay;
  /** What could not be read or understood so far. */
  warnings: () => readonly Warning[];
}

/** Reads what is not in the groups themselves; `host` has all groups of the machine, with the details of their devices. */
export const readRankFacts = (tree: HostTree, host: Host): RankFacts => {
  const attributes = new Attributes(tree);
  const devices = [...host.groups.flatMap((group) => group.devices), ...host.ungrouped].filter(
    ({bus}) => bus === 'pci',
  );
  // the functions of one bus are in one folder, that of its bridge
  const buses = groupBy(devices, ({path}) => posix.dirname(path));
  const framebuffers = readFramebuffers(attributes);
  return {
    nodes: readNumaNodes(attributes),
    showsResets: showsResets(host, devices),
    warnings: () => attributes.warnings,
    onBusOf: ({path}) => buses.get(posix.dirname(path)) ?? [],
    bootDisplay: ({address, path, classCode}) => {
      const framebuffer = framebuffers.find(({device}) => device === address);
      if (framebuffer !== undefined)
        return {is: true, by: `has the framebuffer of the firmware (${framebuffer.name})`};
      const mark = classCode?.startsWith(DISPLAY) === true ? attributes.text(`${path}/boot_vga`) : null;
      if (mark === '1') return {is: true, by: 'is the boot display (boot_vga is 1)'};
      // every VGA controller has the file (drivers/pci/pci-sysfs.c, pci_dev_attrs_are_visible())
      const isHidden = mark === null && classCode?.startsWith(VGA) === true;
      return {is: isHidden ? null : false, by: ''};
    },
  };
};

const DISPLAY = '03';
const VGA = '0300';

/** `reset_method` came with 5.15, and vendors have it in older kernels. A function that cannot be reset lacks the file. */
const showsResets = ({kernel}: Host, devices: readonly Device[]): boolean => {
  if (devices.some(({resetMethods}) => resetMethods !== null)) return true;
  const version = kernel.codeVersion === null ? null : parseKernelRelease(kernel.codeVersion);
  return version !== null && isAtLeast(version, 5, 15);
};
