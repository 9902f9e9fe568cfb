import type {Device} from '../../../iommu/device.js';
import {isOfClass} from '../../../pci/class.js';
import type {HostTree} from '../../../host/tree.js';
import {isBelow, folderNames, resolved, treeText, type Guard} from './guard.js';

/**
 * A console of the kernel that the machine would lose. A terminal of displays counts when no other console is left; a serial
 * or virtio console always does, because somebody has set it up to reach the machine by.
 */
export const consoleGuard: Guard = ({tree, devices, allDevices}) => {
  const consoles = readConsoles(tree).map((name) => ({
    name,
    losers: losersOf(tree, name, {devices, allDevices}),
  }));
  const oneStays = consoles.some(({losers}) => losers.length === 0);
  const lost = consoles.filter(({name, losers}) => losers.length > 0 && !(oneStays && isOfDisplays(name)));
  return [...new Set(lost.flatMap(({losers}) => losers))].map((device) => {
    const names = lost.filter(({losers}) => losers.includes(device)).map(({name}) => name);
    return {
      guard: 'console' as const,
      device: device.address,
      found: `it is the only way to the console ${names.join(', ')}${oneStays ? '' : ', and no other console would be left'}`,
    };
  });
};

const isOfDisplays = (name: string): boolean => /^tty\d+$/.test(name);

/** Enabled consoles by name (proc(5), /proc/consoles). */
const readConsoles = (tree: HostTree): string[] =>
  (treeText(tree, '/proc/consoles') ?? '').split('\n').flatMap((line) => {
    const [, name, flags] = /^(\S+)\s+\S+ \(([^)]*)\)/.exec(line) ?? [];
    return name !== undefined && flags?.includes('E') === true ? [name] : [];
  });

/** The devices without which a console cannot be seen; none when it stays. */
const losersOf = (
  tree: HostTree,
  name: string,
  {devices, allDevices}: {devices: readonly Device[]; allDevices: readonly Device[]},
): Device[] => {
  if (isOfDisplays(name)) {
    const taken = devices.filter(isDisplay);
    const stays = allDevices.some(
      (device) =>
        isDisplay(device) &&
        !device.boundToVfio &&
        device.driver !== null &&
        !taken.some(({path}) => path === device.path),
    );
    return stays || hasFrameBufferElsewhere(tree, devices) ? [] : taken;
  }
  if (/^hvc\d+$/.test(name)) return virtioConsolesOf(tree, devices);
  const path = resolved(tree, '/sys/class/tty', name);
  return path === null ? [] : devices.filter((device) => isBelow(path, device.path));
};

/**
 * Devices that have the last virtio consoles. sysfs does not link those to their terminals (drivers/tty/hvc/hvc_console.c
 * registers hvc0 and the others before it knows of any).
 */
const virtioConsolesOf = (tree: HostTree, devices: readonly Device[]): Device[] => {
  const consoles = folderNames(tree, VIRTIO_CONSOLES)
    .filter((name) => /^virtio\d+$/.test(name))
    .flatMap((name) => resolved(tree, VIRTIO_CONSOLES, name) ?? []);
  const isOf = (console: string, {path}: Device): boolean => isBelow(console, path);
  const stays = consoles.some((each) => !devices.some((device) => isOf(each, device)));
  return stays ? [] : devices.filter((device) => consoles.some((each) => isOf(each, device)));
};

const VIRTIO_CONSOLES = '/sys/bus/virtio/drivers/virtio_console';

const isDisplay = ({classCode}: Device): boolean => isOfClass(classCode, 'gpu');

/** Whether a display that is not a PCI device has a framebuffer. That of the firmware is a PCI display's memory under another name. */
const hasFrameBufferElsewhere = (tree: HostTree, devices: readonly Device[]): boolean =>
  folderNames(tree, '/sys/class/graphics')
    .filter((name) => /^fb\d+$/.test(name))
    .map((name) => resolved(tree, '/sys/class/graphics', name) ?? '')
    .some(
      (path) =>
        !/\/(?:simple-framebuffer|efi-framebuffer|vesa-framebuffer)\.\d+\//.test(path) &&
        !devices.some((device) => isBelow(path, device.path)) &&
        !path.startsWith('/sys/devices/pci'),
    );
