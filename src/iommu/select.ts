import {Failure} from '../failure.js';
import type {Device} from './device.js';
import type {Host} from './host.js';
import {completePciAddress} from '../pci/address.js';
import {isOfClass, type ClassFilter} from '../pci/class.js';
import type {Verdict} from './snoop-control.js';

/** Which devices are wanted. Conditions of one kind are alternatives; all kinds given must hold. */
export interface Selection {
  classes?: readonly ClassFilter[] | undefined;
  /** Driver names; `none` stands for devices without one. */
  drivers?: readonly string[] | undefined;
  verdicts?: readonly Verdict[] | undefined;
  /** `8086:10d3`, `8086:`, `:10d3`, a PCI address with or without domain, or a device's name on its bus. */
  devices?: readonly string[] | undefined;
}

/**
 * A test for the devices of a selection; null when it has no conditions.
 *
 * @throws Failure when a device is named that is not among those that were read; an id that no device has selects nothing
 */
export const selector = (
  selection: Selection,
  host: Pick<Host, 'groups' | 'ungrouped'>,
): ((device: Device) => boolean) | null => {
  if (Object.values(selection).every((condition) => condition === undefined)) return null;
  const named = selection.devices?.map((text) => deviceTest(text, host));
  return (device) =>
    (selection.classes?.some((filter) => isOfClass(device.classCode, filter)) ?? true) &&
    (selection.drivers?.includes(device.driver ?? 'none') ?? true) &&
    (selection.verdicts?.includes(device.snoopControl.verdict) ?? true) &&
    (named?.some((test) => test(device)) ?? true);
};

/** Vendor and device of `8086:10d3`, `8086:` or `:10d3`; null for anything else. */
const idsOf = (text: string): RegExpExecArray | null =>
  text === ':' ? null : /^([0-9a-f]{4})?:([0-9a-f]{4})?$/i.exec(text);

/** Whether a text names devices by their ids, and so all that have them. */
export const isIds = (text: string): boolean => idsOf(text) !== null;

const deviceTest = (
  text: string,
  host: Pick<Host, 'groups' | 'ungrouped'>,
): ((device: Device) => boolean) => {
  const id = idsOf(text);
  if (id !== null) {
    const [vendor, device] = [id[1]?.toLowerCase(), id[2]?.toLowerCase()];
    return ({vendorId, deviceId}) =>
      vendorId !== null && (vendor ?? vendorId) === vendorId && (device ?? deviceId) === deviceId;
  }
  const address = completePciAddress(text) ?? text;
  const matches = (device: Device): boolean => device.address === address;
  if (!host.ungrouped.some(matches) && !host.groups.some((group) => group.devices.some(matches))) {
    throw new Failure({
      code: 'DEVICE_NOT_FOUND',
      kind: 'notFound',
      what: `There is no device ${address}.`,
      why: 'None of the groups and buses that were looked at has a device of that name.',
      hint: 'Run "kvfio groups" to see the devices there are.',
    });
  }
  return matches;
};
