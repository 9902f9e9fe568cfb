import type {Uevent} from '../linux/socket/uevent-socket.js';
import {isVmEvent} from '../vm/vm-events.js';
import type {MachineState} from './machine-state.js';
import {deviceEvent, type WatchEvent} from './watch-line.js';

/** What a message of the kernel means for what is known. */
export interface Heard {
  /** What it reports by itself. */
  events: WatchEvent[];
  /** What is to be read again, as the message does not say all of it. */
  stale: 'host' | 'vms' | null;
}

/**
 * Takes a message into account. A driver that comes or goes, and a device that goes, are in the message, so none of a burst is missed;
 * verdicts follow from reading. A device that comes is reported once it is read.
 */
export const applyUevent = ({devices}: MachineState, uevent: Uevent): Heard => {
  const {action, path, values} = uevent;
  if (isVmEvent(uevent)) return {events: [], stale: 'vms'};
  const folder = `/sys${path}`;
  const device = devices.get(folder);
  const sequence = Number(values.get('SEQNUM')) || null;
  if (device === undefined) {
    const mayBeNew = action !== 'remove' && NEW.has(values.get('SUBSYSTEM') ?? '');
    return {events: [], stale: mayBeNew ? 'host' : null};
  }
  // somebody had the kernel send it, and nothing has happened (kobject_synth_uevent() in lib/kobject_uevent.c)
  if (values.has('SYNTH_UUID')) return {events: [], stale: 'host'};
  if (action === 'remove') {
    devices.delete(folder);
    return {events: [deviceEvent('gone', device, {sequence})], stale: 'host'};
  }
  if (action !== 'bind' && action !== 'unbind') return {events: [], stale: 'host'};
  // an unbind says nothing of the driver
  const driver = action === 'bind' ? (values.get('DRIVER') ?? null) : null;
  if (driver === device.driver) return {events: [], stale: 'host'};
  const changes = [{field: 'driver', before: device.driver, after: driver}];
  device.driver = driver;
  return {events: [deviceEvent('changed', device, {sequence, changes})], stale: 'host'};
};

/** Buses whose devices have groups, and `vfio-dev`, whose devices are VFIO's of others. */
const NEW: ReadonlySet<string> = new Set(['pci', 'platform', 'amba', 'mdev', 'fsl-mc', 'cdx', 'vfio-dev']);
