import type {HostTree} from '../../host/tree.js';
import {besideNamed, refuseMoreThanNamed} from '../../pci/selector/beside-named.js';
import {selectDevice, type SelectedDevice} from '../../pci/selector/select-device.js';
import {listed} from '../../words.js';

const KINDS: Record<SelectedDevice['by'], string> = {
  address: 'address',
  name: 'name',
  path: 'PCI path',
  ids: 'ids',
  interface: 'interface',
  'block-device': 'block device',
  serial: 'serial number',
};

/** How a device may be named, for the help of a flag that takes one. */
export const SELECTOR_HELP =
  'its address (0000:01:00.0), PCI path as "lspci -P" prints it (00:1c.0/00.0), interface (eth0), block device (nvme0n1), serial number, or ids, with a number where several devices have them (8086:10d3#2)';

/**
 * Finds the devices that flags name, each once, and says of each that is not named by its address which it is.
 *
 * @param isOnlyShown - whether nothing is done to them: then a name of a part of a device is taken for the device
 * @throws Failure for a text that names no device, more than one, or a part of one
 */
export const selectedDevices = (
  tree: HostTree,
  texts: readonly string[],
  {
    note,
    isElsewhere,
    isOnlyShown = false,
  }: {note: (line: string) => void; isElsewhere?: (name: string) => boolean; isOnlyShown?: boolean},
): SelectedDevice[] => {
  const selected = texts.map((text) => selectDevice(tree, text, isElsewhere));
  if (!isOnlyShown) for (const each of selected) refuseMoreThanNamed(tree, each);
  for (const each of selected) {
    const {selector, by, address} = each;
    if (by === 'address' || by === 'name') continue;
    const others = besideNamed(tree, each);
    const more = others.length === 0 ? '' : `, which also has ${listed(others)}`;
    note(`by its ${KINDS[by]} ${selector}, the device is ${address}${more}.`);
  }
  return selected;
};
