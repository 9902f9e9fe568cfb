import assert from 'node:assert/strict';
import {Failure} from '../../src/failure.js';
import {compareAddresses, completePciAddress, parsePciAddress} from '../../src/pci/address.js';
import {selector, type Selection} from '../../src/iommu/select.js';
import {intel, other, pci, port} from '../support/machine.js';
import {read} from '../support/read.js';

describe('a PCI address', () => {
  for (const [typed, full] of [
    ['1:0.0', '0000:01:00.0'],
    ['01:00.0', '0000:01:00.0'],
    ['0:1:0.7', '0000:01:00.7'],
    ['0000:01:1F.2', '0000:01:1f.2'],
    ['10000:E1:00.0', '10000:e1:00.0'],
  ] as const) {
    it(`${typed} is completed to ${full}`, () => {
      assert.equal(completePciAddress(typed), full);
    });
  }

  for (const typed of [
    '',
    '1',
    '01:00',
    '01:20.0',
    '01:00.8',
    '01:00.0 ',
    '100:00.0',
    'g0:00.0',
    '123456789:00:00.0',
  ]) {
    it(`"${typed}" is none`, () => {
      assert.equal(completePciAddress(typed), null);
    });
  }

  it('sorts by domain, bus, device and function as numbers, before all other names', () => {
    const order = [
      '0000:02:00.0',
      '0000:02:00.1',
      '0000:10:00.0',
      'ffff:00:00.0',
      '10000:00:00.0',
      'AMDI0010:00',
      'fd88.usb',
    ];
    assert.deepEqual([...order].reverse().sort(compareAddresses), order);
  });

  it('has a domain of more than four digits behind VMD', () => {
    assert.deepEqual(parsePciAddress('10000:e1:00.0'), {domain: 0x10000, bus: 0xe1, device: 0, function: 0});
  });
});

const host = read({
  units: {dmar0: intel('f050da'), dmar1: intel('f00f4a')},
  groups: {
    0: [port('0000:00:1c.0', {unit: 'dmar0'}), pci('0000:01:00.0', {unit: 'dmar0', driver: 'e1000e'})],
    1: [
      pci('0000:02:00.0', {
        vendor: '10de',
        device: '1b80',
        classCode: '030000',
        unit: 'dmar1',
        driver: 'vfio-pci',
      }),
    ],
    2: [
      pci('0000:03:00.0', {
        vendor: '144d',
        device: 'a808',
        classCode: '010802',
        unit: 'dmar1',
        driver: 'nvme',
      }),
    ],
    3: [
      pci('0000:04:00.0', {classCode: '0c0330', unit: 'dmar1'}),
      pci('0000:04:00.1', {classCode: '040300', unit: 'dmar1'}),
    ],
    4: [other('platform', 'fd880000.usb')],
  },
  ungrouped: [pci('0000:05:00.0', {classCode: '028000'})],
});

const selected = (selection: Selection): string[] => {
  const test = selector(selection, host);
  return [...host.groups.flatMap((group) => group.devices), ...host.ungrouped]
    .filter((device) => test?.(device) ?? true)
    .map((device) => device.address);
};

describe('a selection of devices', () => {
  const rows: [Selection, ...string[]][] = [
    [{classes: ['gpu']}, '0000:02:00.0'],
    [{classes: ['nic']}, '0000:01:00.0', '0000:05:00.0'],
    [{classes: ['nvme']}, '0000:03:00.0'],
    [{classes: ['usb']}, '0000:04:00.0'],
    [{classes: ['audio']}, '0000:04:00.1'],
    [{classes: ['bridge']}, '0000:00:1c.0'],
    [{classes: ['gpu', 'nvme']}, '0000:02:00.0', '0000:03:00.0'],
    [{drivers: ['e1000e', 'nvme']}, '0000:01:00.0', '0000:03:00.0'],
    [{drivers: ['none'], classes: ['usb']}, '0000:04:00.0'],
    [{verdicts: ['enforced']}, '0000:00:1c.0', '0000:01:00.0'],
    [{verdicts: ['unknown']}],
    [{devices: ['1:0.0']}, '0000:01:00.0'],
    [{devices: ['fd880000.usb']}, 'fd880000.usb'],
    [{devices: ['10DE:1b80']}, '0000:02:00.0'],
    [{devices: ['144d:', ':1b80']}, '0000:02:00.0', '0000:03:00.0'],
    [{devices: ['dead:beef']}],
    [{devices: ['8086:'], classes: ['audio']}, '0000:04:00.1'],
  ];
  for (const [selection, ...addresses] of rows) {
    it(`${JSON.stringify(selection)} is ${addresses.join(', ') || 'empty'}`, () => {
      assert.deepEqual(selected(selection), addresses);
    });
  }

  it('without conditions is no test at all', () => {
    assert.equal(selector({classes: undefined}, host), null);
  });

  for (const text of ['0000:09:00.0', '9:0.0', ':', 'nonsense', '']) {
    it(`refuses the device "${text}", which does not exist`, () => {
      assert.throws(
        () => selector({devices: [text]}, host),
        (error) => error instanceof Failure && error.code === 'DEVICE_NOT_FOUND' && error.exitCode === 3,
      );
    });
  }
});
