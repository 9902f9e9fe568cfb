import assert from 'node:assert/strict';
import {readAcs, readNoSnoop, readPortType, readSerialNumber} from '../../src/pci/config.js';
import type {ReadAt} from '../../src/host/tree.js';
import {configSpace, PORT, type ConfigSpec} from '../support/config-space.js';
import {pci} from '../support/machine.js';
import {read} from '../support/read.js';

const over =
  (bytes: Buffer): ReadAt =>
  (offset, length) =>
    bytes.subarray(Math.min(offset, bytes.length), Math.min(offset + length, bytes.length));

const space = (spec: Partial<ConfigSpec> = {}): Buffer =>
  configSpace({vendor: '8086', device: '10d3', classCode: '020000', ...spec});

describe('the Enable No Snoop bit', () => {
  const state = (bytes: Buffer): string => readNoSnoop(over(bytes)).state;
  const reason = (bytes: Buffer): string => readNoSnoop(over(bytes)).reason ?? '';

  it('is bit 11 of Device Control', () => {
    assert.equal(state(space({noSnoop: true})), 'enabled');
    assert.equal(state(space({noSnoop: false})), 'disabled');
  });

  it('is unknown when the kernel shows 64 bytes, as it does to ordinary users', () => {
    assert.equal(state(space({size: 64})), 'unknown');
    assert.match(reason(space({size: 64})), /CAP_SYS_ADMIN/);
  });

  it('is unknown when the space is shorter than a header', () => {
    for (const size of [0, 1, 63]) assert.equal(state(space({size})), 'unknown');
  });

  it('is unknown when the list ends before Device Control', () => {
    assert.equal(state(space({size: 0x69})), 'unknown');
  });

  it('is unknown when the device answers with all ones', () => {
    assert.equal(state(Buffer.alloc(4096, 0xff)), 'unknown');
    assert.match(reason(Buffer.alloc(4096, 0xff)), /powered down or gone/);
  });

  it('is unknown when the device goes away while its list is read', () => {
    const bytes = space();
    bytes.fill(0xff, 0x40);
    assert.match(reason(bytes), /powered down or gone/);
  });

  it('is unknown when the capability list runs in a circle', () => {
    const bytes = space({pcie: null});
    bytes.writeUInt16LE(0x4001, 0x40);
    assert.match(reason(bytes), /circle/);
  });

  it('does not apply to conventional PCI', () => {
    assert.equal(state(space({pcie: null})), 'not-applicable');
  });

  it('does not apply to a function without a capability list', () => {
    const bytes = space();
    bytes.writeUInt16LE(0, 0x06);
    assert.equal(state(bytes), 'not-applicable');
  });

  it('does not apply to a CardBus bridge, whose list starts elsewhere', () => {
    const bytes = space({headerType: 2, pcie: null});
    // bytes 0x34 to 0x37 are an address limit there
    bytes.writeUInt32LE(0x40 + 0x20, 0x34);
    bytes.writeUInt16LE(0x0010, 0x60);
    assert.equal(state(bytes), 'not-applicable');
  });

  it('is that of the physical function for a virtual one, which answers all ones for its ids', () => {
    const own = configSpace({vendor: 'ffff', device: 'ffff', classCode: '020000', noSnoop: false});
    const physfn = 'pci0000:41/0000:41:00.0';
    const [device] = read({ungrouped: [pci('0000:41:00.1', {config: own, physfn})]}).ungrouped;
    assert.equal(device?.noSnoop, 'unknown');
    assert.match(device.noSnoopReason ?? '', /physical function, 0000:41:00\.0/);
  });

  it('reads nothing but the registers that lead to it', () => {
    const bytes = space();
    const offsets: number[] = [];
    readNoSnoop((offset, length) => {
      offsets.push(offset);
      return over(bytes)(offset, length);
    });
    assert.deepEqual(offsets, [0, 0x40, 0x60, 0x68]);
  });
});

describe('the place of a function in the PCIe hierarchy', () => {
  for (const [what, type] of [
    ['root port', PORT.root],
    ['upstream switch port', PORT.upstream],
    ['downstream switch port', PORT.downstream],
    ['PCIe-to-PCI bridge', PORT.toPci],
    ['endpoint', PORT.endpoint],
    ['root complex endpoint', PORT.integrated],
  ] as const) {
    it(`is "${what}" for type ${type}`, () => {
      assert.equal(readPortType(over(space({pcie: type}))), what);
    });
  }

  it('is null for a reserved type, for conventional PCI and where it is hidden', () => {
    assert.equal(readPortType(over(space({pcie: 0xf}))), null);
    assert.equal(readPortType(over(space({pcie: null}))), null);
    assert.equal(readPortType(over(space({size: 64}))), null);
  });
});

describe('the Device Serial Number', () => {
  const serial = (bytes: Buffer): string | null => readSerialNumber(over(bytes));

  it('is spelled as lspci spells it, with ACS before it and without', () => {
    for (const acs of [null, [0x5f, 0x1d] as const])
      assert.equal(serial(space({acs, dsn: 0x0011_22ff_ff33_4455n})), '00-11-22-ff-ff-33-44-55');
  });

  it('is none where a function has none, or one that says nothing', () => {
    for (const dsn of [null, 0n, 2n ** 64n - 1n]) assert.equal(serial(space({dsn})), null);
    assert.equal(serial(space({pcie: null})), null);
  });

  it('does not show to ordinary users, nor while the device is powered down, nor where it is cut off', () => {
    for (const size of [64, 256, 0x154, 0x15b]) assert.equal(serial(space({dsn: 5n, size})), null);
    assert.equal(serial(Buffer.alloc(4096, 0xff)), null);
  });
});

describe('ACS', () => {
  const acs = (bytes: Buffer): ReturnType<typeof readAcs> => readAcs(over(bytes));

  it('has its capabilities and what of them is on, spelled as lspci spells them', () => {
    assert.deepEqual(acs(space({acs: [0x5f, 0x1d]})), {
      capabilities: ['SrcValid', 'TransBlk', 'ReqRedir', 'CmpltRedir', 'UpstreamFwd', 'DirectTrans'],
      enabled: ['SrcValid', 'ReqRedir', 'CmpltRedir', 'UpstreamFwd'],
    });
  });

  it('is absent when the extended list does not have it', () => {
    assert.equal(acs(space({acs: null})), 'absent');
  });

  it('is absent on a function without extended configuration space', () => {
    assert.equal(acs(space({pcie: null})), 'absent');
    assert.equal(acs(space({size: 256})), 'absent');
  });

  it('is unknown to ordinary users', () => {
    assert.equal(acs(space({acs: [0x1d, 0x1d], size: 64})), null);
  });

  it('is unknown while the device is powered down', () => {
    assert.equal(acs(Buffer.alloc(4096, 0xff)), null);
  });

  it('is absent when the extended list runs in a circle', () => {
    const bytes = space();
    bytes.writeUInt32LE((0x100 << 20) | 0x1_0001, 0x100);
    assert.equal(acs(bytes), 'absent');
  });
});
