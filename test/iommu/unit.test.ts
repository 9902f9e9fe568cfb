import assert from 'node:assert/strict';
import {rmSync} from 'node:fs';
import {readHost} from '../../src/iommu/host.js';
import type {SnoopControl} from '../../src/iommu/snoop-control.js';
import type {Unit} from '../../src/iommu/unit.js';
import {DirectoryTree} from '../../src/host/directory-tree.js';
import {amd, intel, machine, pci, plain, type MachineSpec, type UnitSpec} from '../support/machine.js';
import {read} from '../support/read.js';

/** A row: what the unit is, its verdict, and the confidence in it. */
type Row = [
  what: string,
  unit: UnitSpec,
  verdict: SnoopControl['verdict'],
  SnoopControl['confidence'],
  MachineSpec?,
  string?,
];

const ROWS: Row[] = [
  ['VT-d with ecap f050da', intel('f050da'), 'enforced', 'exact'],
  ['VT-d with ecap 29a00f0505e', intel('29a00f0505e'), 'not-enforced', 'exact'],
  ['the emulated VT-d of QEMU without snoop control', intel('f00f4a'), 'not-enforced', 'exact'],
  ['the emulated VT-d of QEMU with snoop control', intel('f00fca'), 'enforced', 'exact'],
  ['VT-d with every bit but 7', intel('ffffffffffffff7f'), 'not-enforced', 'exact'],
  ['VT-d with bit 7 alone', intel('80'), 'enforced', 'exact'],
  ['VT-d with a register of 17 digits', intel('10000000000000080'), 'unknown', 'none'],
  ['VT-d with a register that is no number', intel('zz'), 'unknown', 'none'],
  ['VT-d with a register that starts like a number', intel('0xzz'), 'unknown', 'none'],
  ['VT-d with a register that has a prefix', intel('0x80'), 'enforced', 'exact'],
  ['VT-d with an empty register', intel(''), 'unknown', 'none'],
  ['VT-d without the register', intel(null), 'unknown', 'none'],
  ['AMD-Vi', amd(), 'enforced', 'exact'],
  ['AMD-Vi with pgtbl_v2', amd(), 'enforced', 'by-type', {commandLine: 'amd_iommu=pgtbl_v2'}],
  [
    'AMD-Vi with pgtbl_v2 among others',
    amd(),
    'enforced',
    'by-type',
    {commandLine: 'amd_iommu=force_enable,pgtbl_v2'},
  ],
  ['AMD-Vi with pgtbl_v1', amd(), 'enforced', 'exact', {commandLine: 'amd_iommu=pgtbl_v1'}],
  ['virtio-iommu', plain('virtio_iommu'), 'not-enforced', 'by-type', {}, '0000:00:05.0'],
  ['SMMUv3 before 6.13', plain('arm-smmu-v3'), 'not-enforced', 'by-type', {release: '6.12.9'}],
  [
    'SMMUv3 from 6.13 on, without ACPI',
    plain('arm-smmu-v3'),
    'not-enforced',
    'exact',
    {release: '6.13.0-rc1', tables: null},
  ],
  [
    'SMMUv3 that IORT does not have',
    plain('arm-smmu-v3'),
    'unknown',
    'none',
    {release: '6.13.0-rc1', tables: ['IORT']},
  ],
  ['SMMUv3 by its name alone', plain(), 'not-enforced', 'by-type', {}, 'smmu3.0x0000000050000000'],
  ['SMMUv2', plain('arm-smmu'), 'not-enforced', 'by-type'],
  ['SMMUv2 by its name alone', plain(), 'not-enforced', 'by-type', {}, 'smmu.0x0000000040000000'],
  ['s390', plain(), 'not-enforced', 'by-type', {}, 's390-iommu.00000017'],
  ['sPAPR TCE', {files: {'spapr-tce-iommu/x': ''}}, 'not-enforced', 'by-type', {}, 'iommu-phb0001'],
  ['a unit of a driver that kvfio does not know', plain('riscv-iommu'), 'unknown', 'none'],
];

describe('the snoop control of an IOMMU unit', () => {
  for (const [what, unit, verdict, confidence, rest, name = 'unit0'] of ROWS) {
    it(`is ${verdict} (${confidence}) for ${what}, and so it is for a device behind it`, () => {
      const host = read({...rest, units: {[name]: unit}, groups: {0: [pci('0000:01:00.0', {unit: name})]}});
      const of = ({snoopControl}: {snoopControl: SnoopControl}): string[] => [
        snoopControl.verdict,
        snoopControl.confidence,
      ];
      const [first] = host.units as [Unit];
      assert.deepEqual(of(first), [verdict, confidence]);
      assert.deepEqual(host.groups[0]?.devices.map(of), [[verdict, confidence]]);
    });
  }

  it('shows unit, register, bit, value and file as evidence', () => {
    const {units} = read({units: {dmar3: intel('29a00f0505e')}});
    assert.deepEqual(units[0]?.snoopControl.evidence, [
      {
        unit: 'dmar3',
        register: 'ecap',
        bit: 7,
        value: '0x29a00f0505e',
        file: '/sys/class/iommu/dmar3/intel-iommu/ecap',
        statement: 'bit 7 (SC, Snoop Control) of ecap is clear',
      },
    ]);
  });

  it('names a malformed or missing register in one warning', () => {
    const one = (ecap: string | null): string[] =>
      read({units: {dmar0: intel(ecap)}}).warnings.map(({code, path}) => `${code} ${path}`);
    assert.deepEqual(one('nonsense'), ['MALFORMED /sys/class/iommu/dmar0/intel-iommu/ecap']);
    assert.deepEqual(one(null), ['ENOENT /sys/class/iommu/dmar0/intel-iommu/ecap']);
  });

  it('does not take C, bit 0, for snoop control', () => {
    assert.deepEqual(read({units: {dmar0: intel('1')}}).units[0]?.registers.at(-1)?.flags, ['C']);
    assert.equal(read({units: {dmar0: intel('1')}}).units[0]?.snoopControl.verdict, 'not-enforced');
  });

  it('is not enforced for a device that no unit serves', () => {
    const [device] = read({ungrouped: [pci('0000:01:00.0')]}).ungrouped;
    assert.deepEqual([device?.snoopControl.verdict, device?.iommu], ['not-enforced', null]);
  });

  it('is unknown for a device whose unit the machine does not list', () => {
    using built = machine({
      units: {dmar0: intel('f050da')},
      groups: {0: [pci('0000:01:00.0', {unit: 'dmar0'})]},
    });
    rmSync(built.path('sys/class/iommu/dmar0'));
    const [group] = readHost(new DirectoryTree(built.root)).groups;
    assert.deepEqual([group?.snoopControl.verdict, group?.snoopControl.confidence], ['unknown', 'none']);
  });

  it('knows of an SMMUv3 that its table walks are coherent where the device tree says so', () => {
    const {units} = read({
      units: {
        'smmu3.0x1': {files: {'device/of_node/dma-coherent': ''}},
        'smmu3.0x2': {files: {'device/of_node/compatible': 'arm,smmu-v3'}},
        'smmu.0x3': {files: {'device/of_node/dma-coherent': ''}},
      },
    });
    assert.deepEqual(
      units.map(({name, cacheCoherency}) => [name, cacheCoherency]),
      [
        ['smmu.0x3', null],
        ['smmu3.0x1', true],
        ['smmu3.0x2', null],
      ],
    );
  });

  it('sorts units by number', () => {
    const {units} = read({units: {dmar10: intel('0'), dmar9: intel('0'), dmar1: intel('0')}});
    assert.deepEqual(
      units.map((unit) => unit.name),
      ['dmar1', 'dmar9', 'dmar10'],
    );
  });
});
