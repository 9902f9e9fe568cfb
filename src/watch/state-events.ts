import {changesOf, type FactValues} from '../diff/change.js';
import type {MachineState, WatchedDevice, WatchedGroup} from './machine-state.js';
import {deviceEvent, groupEvent, watchChanges, type WatchChange, type WatchEvent} from './watch-line.js';

const DEVICE_FACTS: FactValues<WatchedDevice, 'ids' | 'driver' | 'group' | 'iommu' | Verdict> = {
  ids: ({ids}) => ids,
  driver: ({driver}) => driver,
  group: ({group}) => (group === null ? null : String(group)),
  iommu: ({iommu}) => iommu,
  snoop: ({snoop}) => snoop,
  assignable: ({assignable}) => assignable,
  afterBind: ({afterBind}) => afterBind,
};

type Verdict = 'snoop' | 'assignable' | 'afterBind';

const GROUP_FACTS: FactValues<WatchedGroup, 'devices' | Verdict> = {
  devices: ({devices}) => devices.join(' '),
  snoop: ({snoop}) => snoop,
  assignable: ({assignable}) => assignable,
  afterBind: ({afterBind}) => afterBind,
};

/** What leads from one state of a machine to another: devices before groups, and what has gone before the rest. */
export const stateEvents = (before: MachineState, after: MachineState): WatchEvent[] => [
  ...events(before.devices, after.devices, DEVICE_FACTS, (event, device, changes) =>
    deviceEvent(event, device, {changes}),
  ),
  ...events(before.groups, after.groups, GROUP_FACTS, groupEvent),
];

const events = <Key, Item, Field extends string>(
  before: ReadonlyMap<Key, Item>,
  after: ReadonlyMap<Key, Item>,
  facts: FactValues<Item, Field>,
  make: (event: WatchEvent['event'], item: Item, changes: WatchChange[]) => WatchEvent,
): WatchEvent[] => [
  ...[...before].filter(([key]) => !after.has(key)).map(([, item]) => make('gone', item, [])),
  ...[...after].flatMap(([key, item]) => {
    const was = before.get(key);
    if (was === undefined) return [make('appeared', item, [])];
    const changes = watchChanges(changesOf(was, item, facts));
    return changes.length === 0 ? [] : [make('changed', item, changes)];
  }),
];
