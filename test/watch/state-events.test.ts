import assert from 'node:assert/strict';
import fc from 'fast-check';
import {removeDevice, type MachineState, type WatchedGroup} from '../../src/watch/machine-state.js';
import {stateEvents} from '../../src/watch/state-events.js';
import type {WatchEvent} from '../../src/watch/watch-line.js';
import {device, state} from './states.js';

const group = (parts: Partial<WatchedGroup> = {}): WatchedGroup => ({
  ...{group: 2, devices: ['0000:00:02.0'], snoop: 'enforced', assignable: 'no', afterBind: 'yes'},
  ...parts,
});

describe('what leads from one state to another', () => {
  it('names each fact that has changed, of devices and then of groups', () => {
    const before = state([device()], [group()]);
    const after = state([device({driver: 'vfio-pci', assignable: 'yes'})], [group({assignable: 'yes'})]);
    assert.deepEqual(
      stateEvents(before, after).map(({kind, event, changes}) => [kind, event, changes]),
      [
        [
          'device',
          'changed',
          [
            {field: 'driver', before: null, after: 'vfio-pci'},
            {field: 'assignable', before: 'no', after: 'yes'},
          ],
        ],
        ['group', 'changed', [{field: 'assignable', before: 'no', after: 'yes'}]],
      ],
    );
  });

  it('is nothing for a state that stays', () => {
    assert.deepEqual(stateEvents(state([device()], [group()]), state([device()], [group()])), []);
  });

  it('is nothing of a device that was gone before the host was read', () => {
    const before = state([device()], [group()]);
    const read = state([device()], [group()]);
    const {path} = device();
    removeDevice(before, path);
    removeDevice(read, path);
    assert.deepEqual([read.devices.size, read.groups.size], [0, 0]);
    assert.deepEqual(stateEvents(before, read), []);
  });

  it('leaves a group that has other devices than the one that is gone', () => {
    const read = state([device()], [group({devices: ['0000:00:02.0', '0000:00:03.0']})]);
    removeDevice(read, device().path);
    assert.deepEqual(read.groups.get(2)?.devices, ['0000:00:03.0']);
  });

  it('makes the one of the other, whatever they are', () => {
    const machines = fc
      .array(fc.record({at: fc.nat(5), driver: fc.constantFrom(null, 'vfio-pci', 'nvme'), group: fc.nat(3)}))
      .map((parts) =>
        state(
          parts.map(({at, ...more}) => device({address: `0000:00:0${at}.0`, ...more})),
          [...new Set(parts.map((part) => part.group))].map((id) => group({group: id})),
        ),
      );
    fc.assert(
      fc.property(machines, machines, (before, after) => {
        const devices = new Map(before.devices);
        const groups = new Map(before.groups);
        for (const each of stateEvents(before, after)) apply(each, {devices, groups});
        assert.deepEqual(byKey(devices), byKey(after.devices));
        assert.deepEqual(byKey(groups), byKey(after.groups));
      }),
    );
  });
});

const apply = (event: WatchEvent, {devices, groups}: MachineState): void => {
  const {device: one, group: other} = event;
  if (one !== null) {
    if (event.event === 'gone') devices.delete(one.path);
    else devices.set(one.path, one);
  }
  if (other !== null) {
    if (event.event === 'gone') groups.delete(other.group);
    else groups.set(other.group, other);
  }
};

const byKey = <Key, Item>(map: ReadonlyMap<Key, Item>): [string, Item][] =>
  [...map]
    .map(([key, item]): [string, Item] => [String(key), item])
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
