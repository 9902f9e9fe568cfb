import assert from 'node:assert/strict';
import {machineDifference, isNone, type Difference} from '../../src/diff/difference.js';
import {kindKey} from '../../src/diff/kind-key.js';
import {MACHINES} from '../fixtures/machines.js';
import {folderOf, intel, pci, port, type DeviceSpec, type MachineSpec} from '../support/machine.js';
import {compared, difference, states, withCards} from './machines.js';
import {mirrored, sortedDifference} from './mirror.js';

const NIC = {};
const GPU = {vendor: '10de', device: '1b80', classCode: '030000', driver: 'nouveau'};

const deviceAt = ({devices}: Difference, address: string): Difference['devices'][number] => {
  const found = devices.find(({a, b}) => a?.address === address || b?.address === address);
  assert.ok(found, address);
  return found;
};

describe('what differs of two machines', () => {
  const read = Object.values(MACHINES).map(compared);

  it('is nothing of each machine and itself', () => {
    for (const [at, spec] of Object.values(MACHINES).entries()) {
      const [one, again] = [read[at], compared(spec)];
      assert.ok(one);
      assert.deepEqual(machineDifference(one, again), {
        kernel: {changes: [], added: [], removed: []},
        units: [],
        groups: [],
        devices: [],
      });
      assert.equal(kindKey(one), kindKey(again));
    }
  });

  it('is the mirror image when they change places', () => {
    for (const a of read)
      for (const b of read) {
        assert.deepEqual(
          sortedDifference(machineDifference(b, a)),
          sortedDifference(mirrored(machineDifference(a, b))),
        );
        assert.equal(isNone(machineDifference(a, b)), kindKey(a) === kindKey(b));
      }
  });

  it('is that a device has moved, in its slot, when a card with a port comes before it', () => {
    const found = difference(withCards({0x1c: NIC}), withCards({0x1b: GPU, 0x1c: NIC}));
    assert.deepEqual(states(found), [
      'new 0000:00:1b.0',
      'moved 0000:01:00.0 0000:02:00.0',
      'new 0000:01:00.0',
    ]);
    const {sameSlot, matchedBy, guess, changes} = deviceAt(found, '0000:02:00.0');
    assert.deepEqual(
      {sameSlot, matchedBy, guess, changes},
      {sameSlot: true, matchedBy: 'path', guess: false, changes: []},
    );
    assert.deepEqual(
      found.groups.map(({state, a, b, lost, gained}) => [state, a, b, lost, gained]),
      [
        ['changed', 0, 2, [], []],
        ['new', null, 0, [], ['0000:00:1b.0']],
        ['changed', 1, 3, [], []],
        ['new', null, 1, [], ['0000:01:00.0']],
      ],
    );
  });

  it('is that it has moved to another slot, found by its ids', () => {
    const found = difference(withCards({0x1b: GPU, 0x1c: NIC}), withCards({0x1b: GPU, 0x1d: NIC}));
    const {state, sameSlot, matchedBy, guess} = deviceAt(found, '0000:02:00.0');
    assert.deepEqual([state, sameSlot, matchedBy, guess], ['moved', false, 'function', false]);
  });

  it('is that it has moved behind a bridge that was put before it', () => {
    const root = port('0000:00:1c.0');
    const bridge = port('0000:01:00.0', {pcie: 7, device: 'abcd', parent: folderOf(root)});
    const behind = (parent: DeviceSpec, address: string): DeviceSpec =>
      pci(address, {parent: folderOf(parent)});
    const found = difference(
      {groups: {0: [root], 1: [behind(root, '0000:01:00.0')]}},
      {groups: {0: [root], 1: [bridge, behind(bridge, '0000:02:00.0')]}},
    );
    assert.deepEqual(states(found), ['moved 0000:01:00.0 0000:02:00.0', 'new 0000:01:00.0']);
    assert.deepEqual(
      found.groups.map(({a, b, lost, gained}) => [a, b, lost, gained]),
      [[1, 1, [], ['0000:01:00.0']]],
    );
  });

  it('is that one is gone and another new where a slot has one of another model', () => {
    const found = difference(withCards({0x1c: NIC}), withCards({0x1c: {...NIC, device: '1521'}}));
    assert.deepEqual(states(found), ['gone 0000:01:00.0', 'new 0000:01:00.0']);
  });

  it('is that one is gone and another new where only the subsystem differs', () => {
    const found = difference(
      withCards({0x1c: {subsystem: ['8086', '0001']}}),
      withCards({0x1d: {subsystem: ['8086', '0002']}}),
    );
    assert.ok(states(found).includes('gone 0000:01:00.0'));
    assert.ok(states(found).includes('new 0000:01:00.0'));
  });

  it('leaves identical devices in their places, and guesses which of several has moved where', () => {
    const found = difference(
      withCards({0x10: NIC, 0x11: NIC, 0x12: NIC}),
      withCards({0x10: NIC, 0x14: NIC, 0x15: NIC}),
    );
    const nics = found.devices.filter(({a}) => a?.ids?.startsWith('8086:10d3'));
    assert.deepEqual(
      nics.map(({a, b, guess}) => [a?.address, b?.address, guess]),
      [
        ['0000:02:00.0', '0000:02:00.0', true],
        ['0000:03:00.0', '0000:03:00.0', true],
      ],
    );
  });

  it('follows identical devices by their serial numbers', () => {
    const [first, second] = [
      {dsn: 0x1234_5678_9abc_def0n},
      {dsn: 0x1234_5678_9abc_def1n, acs: [0x1d, 0x1d] as const},
    ];
    const found = difference(withCards({0x10: first, 0x11: second}), withCards({0x10: second, 0x11: first}));
    assert.deepEqual(
      found.devices.map(({state, matchedBy, guess, a, b}) => [
        state,
        matchedBy,
        guess,
        a?.serial?.value === b?.serial?.value,
      ]),
      [
        ['moved', 'serial', false, true],
        ['moved', 'serial', false, true],
      ],
    );
    assert.equal(found.devices[0]?.a?.serial?.value, '12-34-56-78-9a-bc-de-f0');
  });

  it('says when a slot has another card of the same model, and not that it is another where no serial shows', () => {
    const change = (a: bigint | null, b: bigint | null): unknown =>
      difference(withCards({0x10: {dsn: a}}), withCards({0x10: {dsn: b}})).devices.map(({state, changes}) => [
        state,
        changes,
      ]);
    assert.deepEqual(change(1n, 2n), [
      ['changed', [{field: 'serial', a: 'dsn 00-00-00-00-00-00-00-01', b: 'dsn 00-00-00-00-00-00-00-02'}]],
    ]);
    for (const [a, b] of [
      [1n, null],
      [null, 1n],
      [0n, 2n ** 64n - 1n],
    ] as const)
      assert.deepEqual(change(a, b), []);
  });

  it('does not take one with another serial for one that has moved', () => {
    const found = difference(withCards({0x10: {dsn: 1n}}), withCards({0x11: {dsn: 2n}}));
    assert.deepEqual(
      states(found).filter((state) => state.includes('01:00.0')),
      ['gone 0000:01:00.0', 'new 0000:01:00.0'],
    );
  });

  it('makes nothing of a serial that a maker gives to all', () => {
    const card = {dsn: 0x684c_e000n};
    const found = difference(withCards({0x10: card, 0x11: card}), withCards({0x10: card, 0x12: card}));
    assert.equal(deviceAt(found, '0000:02:00.0').matchedBy, 'function');
  });

  for (const [what, folder, files, serial] of [
    [
      'the address of its interface',
      'net/eth0',
      {address: '52:54:00:12:34:56\n', addr_assign_type: '0\n'},
      'mac 52:54:00:12:34:56',
    ],
    [
      'no address that was made up',
      'net/eth0',
      {address: '52:54:00:12:34:56\n', addr_assign_type: '1\n'},
      null,
    ],
    [
      'the address of its virtio interface',
      'virtio0/net/eth0',
      {address: '52:54:00:12:34:56\n', addr_assign_type: '0\n'},
      'mac 52:54:00:12:34:56',
    ],
    ['the serial number of its NVMe controller', 'nvme/nvme0', {serial: 'S3EVNX0K  \n'}, 'nvme S3EVNX0K'],
  ] as const)
    it(`knows a device by ${what}`, () => {
      const device = pci('0000:00:03.0');
      const files_ = Object.fromEntries(
        Object.entries(files).map(([name, text]) => [`${folder}/${name}`, text]),
      );
      const [read_] = compared({groups: {0: [{...device, files: {...device.files, ...files_}}]}}).devices;
      assert.equal(read_?.serial == null ? null : `${read_.serial.kind} ${read_.serial.value}`, serial);
    });

  it('is a move in its slot where the domain of a VMD has another number', () => {
    const behind = (domain: string): MachineSpec => {
      const vmd = pci('0000:00:0e.0', {device: '201d', classCode: '010400'});
      const below = pci(`${domain}:e1:00.0`, {parent: `${folderOf(vmd)}/pci${domain}:e0`, driver: 'nvme'});
      return {groups: {0: [vmd], 1: [below]}};
    };
    const found = difference(behind('10000'), behind('10001'));
    assert.deepEqual(states(found), ['moved 10000:e1:00.0 10001:e1:00.0']);
    assert.equal(found.devices[0]?.sameSlot, true);
  });

  it('are members of a group, and who has joined which', () => {
    const devices = ['0000:00:01.0', '0000:00:02.0', '0000:00:03.0'].map((address, at) =>
      pci(address, {device: `000${at}`}),
    );
    const [x, y, z] = devices as [DeviceSpec, DeviceSpec, DeviceSpec];
    const found = difference({groups: {0: [x, y], 1: [z]}}, {groups: {0: [x], 5: [y], 1: [z]}});
    assert.deepEqual(
      found.groups.map(({state, a, b, lost, gained}) => [state, a, b, lost, gained]),
      [
        ['changed', 0, 0, ['0000:00:02.0'], []],
        ['new', null, 5, [], ['0000:00:02.0']],
      ],
    );
    assert.deepEqual(
      found.devices.map(({state, changes}) => [state, changes]),
      [['changed', [{field: 'group', a: '0', b: '5'}]]],
    );
  });

  it('are drivers, and the verdicts that follow', () => {
    const found = difference(
      withCards({0x1c: NIC}),
      withCards({0x1c: {driver: 'vfio-pci'}}, {units: {dmar0: intel('f00f4a')}}),
    );
    const {state, changes} = deviceAt(found, '0000:01:00.0');
    assert.deepEqual(
      [state, changes],
      [
        'changed',
        [
          {field: 'driver', a: 'e1000e', b: 'vfio-pci'},
          {field: 'snoop', a: 'enforced', b: 'not-enforced'},
          {field: 'assignable', a: 'no', b: 'yes'},
        ],
      ],
    );
    assert.deepEqual(
      found.units.map(({a, b, changes: of}) => [a, b, of.map(({field}) => field)]),
      [['dmar0', 'dmar0', ['snoop', 'ecap']]],
    );
  });

  it('is that a unit has another name, and no change of its devices, when one before it is gone', () => {
    const unit = (address: string): ReturnType<typeof intel> => {
      const {files} = intel('f050da');
      return {files: {...files, 'intel-iommu/address': `${address}\n`}};
    };
    const device = (name: string): Record<number, DeviceSpec[]> => ({0: [pci('0000:00:03.0', {unit: name})]});
    const found = difference(
      {units: {dmar0: unit('fed90000'), dmar1: unit('fed91000')}, groups: device('dmar1')},
      {units: {dmar0: unit('fed91000')}, groups: device('dmar0')},
    );
    assert.deepEqual(
      found.units.map(({state, a, b, changes}) => [state, a, b, changes]),
      [
        ['gone', 'dmar0', null, []],
        ['changed', 'dmar1', 'dmar0', [{field: 'name', a: 'dmar1', b: 'dmar0'}]],
      ],
    );
    assert.deepEqual(found.devices, []);
  });

  it('are the kernel, and what of its command line matters', () => {
    const {kernel} = difference(
      {release: '6.1.0-40-amd64', commandLine: 'quiet intel_iommu=on iommu=pt iommu=pt'},
      {release: '6.12.107-1-amd64', commandLine: 'ro vfio-pci.ids=8086:10d3 iommu=pt'},
    );
    assert.deepEqual(
      [kernel.added, kernel.removed],
      [['vfio-pci.ids=8086:10d3'], ['intel_iommu=on', 'iommu=pt']],
    );
    assert.deepEqual(
      kernel.changes.map(({field}) => field),
      ['release', 'stable', 'commandLine'],
    );
  });
});
