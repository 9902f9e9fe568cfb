import assert from 'node:assert/strict';
import {gzipSync} from 'node:zlib';
import {rmSync, writeFileSync} from 'node:fs';
import {readHost} from '../../src/iommu/host.js';
import type {NoGroups} from '../../src/iommu/no-groups.js';
import {DirectoryTree} from '../../src/host/directory-tree.js';
import {intel, machine, pci, type MachineSpec} from '../support/machine.js';
import {read} from '../support/read.js';

const why = (spec: MachineSpec): NoGroups => {
  const {noGroups, groups} = read(spec);
  assert.deepEqual(groups, []);
  assert.ok(noGroups);
  assert.doesNotMatch(`${noGroups.message}${noGroups.remedy}`, /\.$/);
  return noGroups;
};

const BUILT_IN =
  'CONFIG_INTEL_IOMMU=y\nCONFIG_INTEL_IOMMU_DEFAULT_ON=y\nCONFIG_AMD_IOMMU=y\nCONFIG_VIRTIO_IOMMU=y\n';
const dmar = {tables: ['APIC', 'DMAR'], config: BUILT_IN};

type Row = [state: string, spec: MachineSpec, cause: NoGroups['cause'], message: RegExp];

const ROWS: Row[] = [
  [
    'a kernel without IOMMU support',
    {iommuSupport: false},
    'no-iommu-support',
    /built without IOMMU support/,
  ],
  ['firmware without a table', {tables: ['APIC', 'FACP']}, 'no-hardware', /firmware announces no IOMMU/],
  ['a machine without ACPI', {tables: null}, 'cannot-tell', /cannot be seen from here/],
  [
    'a virtual machine',
    {cpuFlags: 'fpu hypervisor lahf_lm'},
    'no-virtual-hardware',
    /its hypervisor gives it no IOMMU/,
  ],
  [
    'intel_iommu=off',
    {...dmar, commandLine: 'quiet intel_iommu=off'},
    'off-on-command-line',
    /says intel_iommu=off$/,
  ],
  [
    'intel_iommu=sm_on,off',
    {...dmar, commandLine: 'intel_iommu=sm_on,off'},
    'off-on-command-line',
    /says intel_iommu=sm_on,off$/,
  ],
  ['iommu=off', {...dmar, commandLine: 'iommu=off'}, 'off-on-command-line', /says iommu=off$/],
  [
    'amd_iommu=off',
    {tables: ['IVRS'], commandLine: 'amd_iommu=off'},
    'off-on-command-line',
    /AMD-Vi .*says amd_iommu=off$/,
  ],
  [
    'amd_iommu=off on an Intel machine',
    {...dmar, commandLine: 'amd_iommu=off'},
    'not-started',
    /started no IOMMU unit/,
  ],
  [
    'a kernel without the driver',
    {tables: ['IVRS'], config: 'CONFIG_INTEL_IOMMU=y\n# CONFIG_AMD_IOMMU is not set\n'},
    'no-driver',
    /without its driver \(CONFIG_AMD_IOMMU\)/,
  ],
  [
    'a kernel that waits to be asked',
    {tables: ['DMAR'], config: 'CONFIG_INTEL_IOMMU=y\n# CONFIG_INTEL_IOMMU_DEFAULT_ON is not set\n'},
    'off-by-default',
    /leaves it off unless it is asked for/,
  ],
  [
    "Debian's kernel, which waits only for integrated graphics",
    {
      tables: ['DMAR'],
      config:
        'CONFIG_INTEL_IOMMU=y\n# CONFIG_INTEL_IOMMU_DEFAULT_ON is not set\nCONFIG_INTEL_IOMMU_DEFAULT_ON_INTGPU_OFF=y\n',
    },
    'not-started',
    /started no IOMMU unit/,
  ],
  [
    'an IORT table, which need not describe an SMMU',
    {tables: ['IORT']},
    'no-hardware',
    /firmware announces no IOMMU/,
  ],
  [
    'a kernel that waited and was asked',
    {tables: ['DMAR'], config: 'CONFIG_INTEL_IOMMU=y\n', commandLine: 'intel_iommu=on'},
    'not-started',
    /started no IOMMU unit/,
  ],
  [
    'a driver that did not start',
    dmar,
    'not-started',
    /Intel VT-d \(table DMAR\), but the kernel started no IOMMU unit/,
  ],
  ['a kernel whose configuration is hidden', {tables: ['DMAR']}, 'not-started', /started no IOMMU unit/],
  [
    'a table of VIOT and no driver',
    {tables: ['VIOT'], config: 'CONFIG_X=y\n'},
    'no-driver',
    /CONFIG_VIRTIO_IOMMU/,
  ],
  [
    'VIOT and iommu=off, which only VT-d and AMD-Vi obey',
    {tables: ['VIOT'], commandLine: 'iommu=off'},
    'no-driver',
    /virtio-iommu .*its driver is not in the running kernel/,
  ],
  [
    'a virtio-iommu that the kernel was built without',
    {config: 'CONFIG_X=y\n', ungrouped: [pci('0000:00:02.0', {vendor: '1af4', device: '1057'})]},
    'no-driver',
    /virtio-iommu device 0000:00:02\.0 is there, but this kernel was built without its driver/,
  ],
  [
    'a virtio-iommu without a driver',
    {ungrouped: [pci('0000:00:02.0', {vendor: '1af4', device: '1057'})]},
    'no-driver',
    /no driver is bound to it/,
  ],
  [
    'units without devices',
    {units: {dmar0: intel('f050da')}},
    'no-devices',
    /dmar0 started, but no device is behind it$/,
  ],
];

describe('the reason for having no groups', () => {
  for (const [state, spec, cause, message] of ROWS) {
    it(`is ${cause} with ${state}`, () => {
      const reason = why(spec);
      assert.equal(reason.cause, cause);
      assert.match(reason.message, message);
    });
  }

  it('reads the configuration that the kernel itself carries', () => {
    using built = machine({tables: ['DMAR']});
    writeFileSync(built.path('proc/config.gz'), gzipSync('CONFIG_INTEL_IOMMU=n\n'));
    const {noGroups} = readHost(new DirectoryTree(built.root));
    assert.equal(noGroups?.cause, 'no-driver');
    assert.ok(noGroups.seen.includes('CONFIG_INTEL_IOMMU=n in /proc/config.gz'));
  });

  it('concludes nothing from a configuration that does not unpack', () => {
    using built = machine({tables: ['DMAR']});
    writeFileSync(built.path('proc/config.gz'), 'not packed');
    assert.equal(readHost(new DirectoryTree(built.root)).noGroups?.cause, 'not-started');
  });

  it('is found where the kernel has no folder of groups', () => {
    using built = machine({});
    rmSync(built.path('sys/kernel'), {recursive: true});
    assert.equal(readHost(new DirectoryTree(built.root)).noGroups?.cause, 'no-hardware');
  });

  it('does not exist where there are groups', () => {
    assert.equal(read({groups: {0: []}}).noGroups, null);
  });

  it('quotes of the command line only what is about IOMMU', () => {
    const {seen} = why({...dmar, commandLine: 'password=secret intel_iommu=off ip=10.0.0.1'});
    assert.ok(seen.includes('kernel parameters: intel_iommu=off'));
  });
});
