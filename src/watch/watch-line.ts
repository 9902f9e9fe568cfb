import type {FactChange} from '../diff/change.js';
import type {ListedVm} from '../kvm-vfio/vms.js';
import type {WatchedDevice, WatchedGroup} from './machine-state.js';

/** What a line is about. */
export type WatchKind = 'device' | 'group' | 'vm';

/** One fact that has changed. Null is none, or unknown. */
export interface WatchChange {
  field: string;
  before: string | null;
  after: string | null;
}

/** A line of `kvfio watch --json`. */
export interface WatchLine {
  schemaVersion: 1;
  /** When kvfio printed it: UTC, in the form of RFC 3339. */
  time: string;
  /** What the line is about; `host` for kvfio's view of the host as a whole. */
  kind: WatchKind | 'host';
  /**
   * `present` was there when kvfio began; `ready` follows the last of these, and from then on everything is reported. `lost`: the
   * kernel dropped messages because kvfio was slow, and kvfio reads everything anew, so that the lines after it lead to the present state.
   */
  event: 'present' | 'ready' | 'appeared' | 'changed' | 'gone' | 'lost';
  /** The kernel's number of the message that reported it (SEQNUM); null when kvfio found it by reading. */
  sequence: number | null;
  /** The device as it is now; as it was when it is gone. Null unless the line is about one, as are the next two. */
  device: WatchedDevice | null;
  group: WatchedGroup | null;
  vm: ListedVm | null;
  /** What has changed; empty unless the event is `changed`. */
  changes: WatchChange[];
}

/** A line before it has a time. */
export type WatchEvent = Omit<WatchLine, 'schemaVersion' | 'time'>;

const eventOf = (
  kind: WatchEvent['kind'],
  event: WatchEvent['event'],
  parts: Partial<WatchEvent> = {},
): WatchEvent => ({
  ...{kind, event, sequence: null, device: null, group: null, vm: null, changes: []},
  ...parts,
});

export const hostEvent = (event: 'ready' | 'lost'): WatchEvent => eventOf('host', event);

export const deviceEvent = (
  event: WatchEvent['event'],
  device: WatchedDevice,
  more: Partial<Pick<WatchEvent, 'changes' | 'sequence'>> = {},
): WatchEvent => eventOf('device', event, {device: {...device}, ...more});

export const groupEvent = (
  event: WatchEvent['event'],
  group: WatchedGroup,
  changes: WatchChange[] = [],
): WatchEvent => eventOf('group', event, {group, changes});

export const vmEvent = (event: WatchEvent['event'], vm: ListedVm, changes: WatchChange[] = []): WatchEvent =>
  eventOf('vm', event, {vm, changes});

export const watchChanges = (changes: readonly FactChange[]): WatchChange[] =>
  changes.map(({field, a, b}) => ({field, before: a, after: b}));
