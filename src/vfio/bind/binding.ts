import {SyscallError} from '../../linux/errno.js';
import type {HostTree} from '../../host/tree.js';

/** The driver that a device has, and its driver_override, the only one that it may have. */
export interface Binding {
  /** Null when none is bound. */
  driver: string | null;
  /** Its `driver_override`; null when any driver that knows the device may take it. */
  override: string | null;
}

/** A PCI device as it is named in plans and journals. */
export interface BindTarget {
  /** `0000:01:00.0`. */
  address: string;
  /** Its folder under /sys/devices. */
  path: string;
  /** Vendor and device, `8086:10d3`: another device may have come to this place. */
  id: string;
}

/** What is true of a device now; null when it is gone, or another one is in its place. */
export const readBinding = (tree: HostTree, {path, id}: BindTarget): Binding | null => {
  if (readId(tree, path) !== id) return null;
  const driver = tree.link(`${path}/driver`);
  const override = tree.text(`${path}/driver_override`);
  if (override instanceof SyscallError) return null;
  return {
    driver: driver instanceof SyscallError ? null : driver.slice(driver.lastIndexOf('/') + 1),
    override: overrideOf(override),
  };
};

/** Vendor and device of the PCI function with this folder; null when there is none. */
export const readId = (tree: HostTree, path: string): string | null => {
  const [vendor, device] = [tree.text(`${path}/vendor`), tree.text(`${path}/device`)];
  if (vendor instanceof SyscallError || device instanceof SyscallError) return null;
  return `${vendor.trim().slice(2)}:${device.trim().slice(2)}`;
};

export const sameBinding = (a: Binding, b: Binding): boolean =>
  a.driver === b.driver && a.override === b.override;

/** `e1000e`, `no driver (override vfio-pci)`. */
export const bindingText = ({driver, override}: Binding): string =>
  `${driver ?? 'no driver'}${override === null || override === driver ? '' : ` (override ${override})`}`;

/** The kernel prints "(null)" for none (drivers/pci/pci-sysfs.c, driver_override_show). */
const overrideOf = (text: string): string | null => {
  const name = text.trim();
  return name === '' || name === '(null)' ? null : name;
};
