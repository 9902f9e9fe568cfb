import assert from 'node:assert/strict';
import type {Uevent} from '../../src/linux/socket/uevent-socket.js';
import {applyUevent} from '../../src/watch/apply-uevent.js';
import {device, state} from './states.js';

const uevent = (action: string, path: string, values: Record<string, string> = {}): Uevent => ({
  action,
  path,
  values: new Map(Object.entries(values)),
});

describe('a message about', () => {
  const bound = device({driver: 'e1000e'});
  const folder = bound.path.slice('/sys'.length);

  it('a driver that goes and one that comes reports each, though both wait', () => {
    const known = state([bound]);
    const lines = [
      uevent('unbind', folder, {SUBSYSTEM: 'pci', SEQNUM: '5'}),
      uevent('bind', folder, {SUBSYSTEM: 'pci', DRIVER: 'vfio-pci', SEQNUM: '6'}),
      uevent('unbind', folder, {SUBSYSTEM: 'pci', SEQNUM: '7'}),
    ].flatMap((each) => applyUevent(known, each).events);
    assert.deepEqual(
      lines.map(({sequence, changes}) => [sequence, changes]),
      [
        [5, [{field: 'driver', before: 'e1000e', after: null}]],
        [6, [{field: 'driver', before: null, after: 'vfio-pci'}]],
        [7, [{field: 'driver', before: 'vfio-pci', after: null}]],
      ],
    );
    // each line has the device as it was then
    assert.deepEqual(
      lines.map((line) => line.device?.driver),
      [null, 'vfio-pci', null],
    );
  });

  it('a driver that is known reports nothing, and has the verdicts read', () => {
    const {events, stale} = applyUevent(state([bound]), uevent('bind', folder, {DRIVER: 'e1000e'}));
    assert.deepEqual([events, stale], [[], 'host']);
  });

  it('a device that goes reports it once', () => {
    const known = state([bound]);
    const remove = uevent('remove', folder, {SUBSYSTEM: 'pci', SEQNUM: '8'});
    assert.deepEqual(
      applyUevent(known, remove).events.map(({event, device: gone}) => [event, gone?.address]),
      [['gone', bound.address]],
    );
    assert.deepEqual(applyUevent(known, remove), {events: [], stale: null});
  });

  it('a driver or an end that somebody had the kernel send has the host read, and is no fact', () => {
    const known = state([bound]);
    for (const action of ['remove', 'unbind', 'add'])
      assert.deepEqual(applyUevent(known, uevent(action, folder, {SYNTH_UUID: '0'})), {
        events: [],
        stale: 'host',
      });
    assert.equal(known.devices.size, 1);
  });

  for (const [what, message, stale] of [
    [
      'a new PCI device has the host read',
      uevent('add', '/devices/pci0000:00/0000:00:09.0', {SUBSYSTEM: 'pci'}),
      'host',
    ],
    [
      'a cdev of VFIO has the host read',
      uevent('add', `${folder}/vfio-dev/vfio0`, {SUBSYSTEM: 'vfio-dev'}),
      'host',
    ],
    ['a new disk is nothing', uevent('add', '/devices/virtual/block/loop0', {SUBSYSTEM: 'block'}), null],
    ['a new VM has the VMs read', uevent('change', '/devices/virtual/misc/kvm', {EVENT: 'create'}), 'vms'],
    [
      'the end of a VM has the VMs read',
      uevent('change', '/devices/virtual/misc/kvm', {EVENT: 'destroy'}),
      'vms',
    ],
    ['/dev/kvm itself is nothing', uevent('add', '/devices/virtual/misc/kvm', {SUBSYSTEM: 'misc'}), null],
  ] as const)
    it(what, () => {
      assert.deepEqual(applyUevent(state([bound]), message), {events: [], stale});
    });
});
