import assert from 'node:assert/strict';
import {canwbsBehind, hasNoHostTables} from '../../src/iommu/acpi-tables.js';
import {amd, machine, plain, type MachineSpec} from '../support/machine.js';
import {readHost} from '../../src/iommu/host.js';
import {DirectoryTree} from '../../src/host/directory-tree.js';

const BASE = 0x9050000n;

/** A node of IORT: 16 bytes of head, its data, and one mapping of 20 bytes to `target`. */
const node = (type: number, data: Buffer, target?: number): Buffer => {
  const head = Buffer.alloc(16);
  const mapping = Buffer.alloc(target === undefined ? 0 : 20);
  head.writeUInt8(type, 0);
  head.writeUInt16LE(16 + data.length + mapping.length, 1);
  if (target !== undefined) {
    head.writeUInt32LE(1, 8);
    head.writeUInt32LE(16 + data.length, 12);
    mapping.writeUInt32LE(target, 12);
  }
  return Buffer.concat([head, data, mapping]);
};

const table = (nodes: readonly Buffer[]): Buffer => {
  const head = Buffer.alloc(48);
  head.write('IORT', 0, 'latin1');
  head.writeUInt32LE(nodes.length, 36);
  head.writeUInt32LE(48, 40);
  return Buffer.concat([head, ...nodes]);
};

const smmu = (): Buffer => {
  const data = Buffer.alloc(52);
  data.writeBigUInt64LE(BASE, 0);
  return node(4, data);
};

/** @param flags memory access flags: bit 0 coherent, bit 2 CANWBS */
const rootComplex = (flags: number, target = 48): Buffer => {
  const data = Buffer.alloc(20);
  data.writeUInt8(flags, 7);
  return node(2, data, target);
};

/** The verdict of the only unit of a machine with a table. */
const verdictOf = (spec: MachineSpec, tables: Record<string, Buffer>): string => {
  using built = machine({...spec, tables: Object.keys(tables)});
  for (const [name, bytes] of Object.entries(tables)) built.write(`sys/firmware/acpi/tables/${name}`, bytes);
  const {units} = readHost(new DirectoryTree(built.root));
  const control = units[0]?.snoopControl;
  return `${control?.verdict ?? ''} ${control?.confidence ?? ''}`;
};

describe('CANWBS of the firmware', () => {
  it('counts of the root complexes whose ids the SMMUv3 gets, and of no other', () => {
    assert.equal(canwbsBehind(table([smmu(), rootComplex(5)]), BASE), 'all');
    assert.equal(canwbsBehind(table([smmu(), rootComplex(1)]), BASE), 'none');
    assert.equal(canwbsBehind(table([smmu(), rootComplex(5), rootComplex(3)]), BASE), 'some');
    assert.equal(canwbsBehind(table([smmu(), rootComplex(5, 4096)]), BASE), 'none');
    assert.equal(canwbsBehind(table([smmu(), rootComplex(5)]), 0x1000n), null);
  });

  it('is not read beyond a table that was cut', () => {
    const whole = table([smmu(), rootComplex(5)]);
    for (let length = 0; length < whole.length; length += 1)
      assert.doesNotThrow(() => canwbsBehind(whole.subarray(0, length), BASE));
  });

  it('makes the verdict of an SMMUv3 exact since 6.13', () => {
    const units = {'smmu3.0x0000000009050000': plain('arm-smmu-v3')};
    const of = (flags: number, release: string): string =>
      verdictOf({units, release, architecture: 'aarch64'}, {IORT: table([smmu(), rootComplex(flags)])});
    assert.equal(of(5, '6.13.0'), 'enforced exact');
    assert.equal(of(1, '6.13.0'), 'not-enforced exact');
    assert.equal(of(5, '6.12.0'), 'not-enforced by-type');
  });
});

describe('HATDis of the firmware', () => {
  const ivrs = (type: number, attributes: number): Buffer => {
    const head = Buffer.alloc(48);
    const block = Buffer.alloc(40);
    block.writeUInt8(type, 0);
    block.writeUInt16LE(block.length, 2);
    block.writeUInt32LE(attributes, 20);
    return Buffer.concat([head, block]);
  };

  it('is bit 0 of the attributes of the longer blocks', () => {
    assert.equal(hasNoHostTables(ivrs(0x11, 1)), true);
    assert.equal(hasNoHostTables(ivrs(0x40, 1)), true);
    assert.equal(hasNoHostTables(ivrs(0x10, 1)), false);
    assert.equal(hasNoHostTables(ivrs(0x11, 2)), false);
    assert.equal(hasNoHostTables(Buffer.alloc(10)), false);
  });

  it('means page tables that claim coherency and do not have it, since 6.17', () => {
    const of = (release: string, attributes = 1): string =>
      verdictOf({units: {ivhd0: amd()}, release}, {IVRS: ivrs(0x11, attributes)});
    assert.equal(of('6.17.0'), 'enforced by-type');
    assert.equal(of('6.16.0'), 'enforced exact');
    assert.equal(of('6.17.0', 0), 'enforced exact');
  });
});
