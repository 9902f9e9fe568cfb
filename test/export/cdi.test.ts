import assert from 'node:assert/strict';
import Export, {type ExportDocument} from '../../src/commands/export.js';
import type {CdiSpec} from '../../src/export/cdi.js';
import {intel, other, pci, REMAPPED, type Machine, type MachineSpec} from '../support/machine.js';
import {made} from '../support/made.js';
import {needs} from '../support/needs.js';
import {Podman} from '../support/podman.js';
import {run} from '../support/run.js';
import {documentOf} from '../support/schema.js';
import {exported} from './exported.js';
import {GPU, oddMachines, withNodes} from './machines.js';

const GROUPS = {groups: ['5', '6']};

/** Two devices that VFIO has, in a group, and one whose node has another name than its number suggests. */
const CDEVS: MachineSpec = {
  interrupts: REMAPPED,
  units: {dmar0: intel('f050da')},
  groups: {
    5: [
      pci('0000:01:00.0', {unit: 'dmar0', driver: 'vfio-pci', vfio: ['vfio0']}),
      pci('0000:01:00.1', {unit: 'dmar0', driver: 'vfio-pci', vfio: ['vfio1']}),
    ],
    8: [pci('0000:03:00.0', {unit: 'dmar0', driver: 'vfio-pci', vfio: ['vfio7']})],
  },
};
const NODES = {cdevs: ['vfio0', 'vfio1', 'vfio7']};

const specOf = async (built: Machine): Promise<CdiSpec> =>
  documentOf<CdiSpec>(await exported('cdi', built), 'export-cdi');

/** Each device with its nodes, those first that every device has. */
const nodesOf = ({containerEdits, devices}: CdiSpec): [name: string, ...paths: string[]][] =>
  devices.map(({name, containerEdits: own}) => [
    name,
    ...[...(containerEdits.deviceNodes ?? []), ...(own.deviceNodes ?? [])].map(({path}) => path),
  ]);

describe('kvfio export cdi', () => {
  it('has a device for each group that is bound to VFIO and that a VM can have, and counts the others', async () => {
    using built = withNodes(GPU, GROUPS);
    const spec = await specOf(built);
    assert.deepEqual(nodesOf(spec), [['group5', '/dev/vfio/vfio', '/dev/vfio/5']]);
    assert.deepEqual(spec.devices[0]?.containerEdits.env, ['KVFIO_GROUP_5=0000:01:00.0,0000:01:00.1']);
    assert.ok(spec.containerEdits.env.includes('KVFIO_CDI_NODES=groups'));
    assert.ok(spec.containerEdits.env.includes('KVFIO_CDI_LEFT_OUT=2'));
  });

  it('has cdevs where VFIO has no groups, and groups where it has both, never both', async () => {
    using cdevs = withNodes(CDEVS, NODES);
    assert.deepEqual(nodesOf(await specOf(cdevs)), [
      ['group5', '/dev/iommu', '/dev/vfio/devices/vfio0', '/dev/vfio/devices/vfio1'],
      ['group8', '/dev/iommu', '/dev/vfio/devices/vfio7'],
    ]);
    using both = withNodes(CDEVS, {...NODES, groups: ['5', '8']});
    assert.deepEqual(nodesOf(await specOf(both)), [
      ['group5', '/dev/vfio/vfio', '/dev/vfio/5'],
      ['group8', '/dev/vfio/vfio', '/dev/vfio/8'],
    ]);
  });

  it('leaves out a group of which a cdev is missing, and nodes of devices without an IOMMU', async () => {
    using some = withNodes(CDEVS, {cdevs: ['vfio0', 'vfio7']});
    assert.deepEqual(
      (await specOf(some)).devices.map(({name}) => name),
      ['group8'],
    );
    using without = withNodes(GPU, {groups: ['noiommu-5']});
    assert.deepEqual(
      (await specOf(without)).devices.map(({name}) => name),
      ['none'],
    );
  });

  it('says in words why it has groups or cdevs, and what it leaves out', async () => {
    for (const [built, words, count] of [
      [withNodes(GPU, GROUPS), /since the kernel of this host has groups/, 2],
      [withNodes(CDEVS, NODES), /since the VFIO of this host has no groups/, 1],
    ] as const) {
      using each = built;
      const out = `${each.root}/kvfio.json`;
      const {stdout, stderr} = await run(Export, ['cdi', '--sysroot', each.root, '--out', out, '--json']);
      const {notes} = documentOf<ExportDocument>(stdout, 'export');
      assert.equal(notes.length, count);
      assert.match(notes[0] ?? '', words);
      assert.match(stderr.replaceAll(/\n +/g, ' '), words);
      if (count === 2)
        assert.match(notes[1] ?? '', /^2 of 3 groups have no device, .*"kvfio groups --explain"/);
    }
  });

  it('is valid, whatever the machine', async () => {
    for (const [name, built] of oddMachines()) {
      using each = built;
      const groups = [...Array(20).keys()].map(String);
      for (const at of groups) each.write(`sys/class/vfio/${at}/dev`, `511:${at}\n`);
      const {devices, containerEdits} = await specOf(each);
      assert.ok(devices.length > 0, name);
      const names = devices.map((device) => device.name);
      assert.equal(new Set(names).size, names.length, name);
      for (const each of names) assert.match(each, /^[A-Za-z][\w.-]*$/, name);
      for (const {env} of [containerEdits, ...devices.map((device) => device.containerEdits)])
        for (const variable of env) assert.match(variable, /^\w+=[^\n]*$/, name);
    }
  });

  describe('to podman', () => {
    const LOOK =
      'cd /dev && for node in $(busybox find vfio iommu kvm ! -type d 2> /dev/null); do exec 3<> $node && echo $node; done; busybox env';
    let podman: Podman;
    made(function () {
      needs(this, 'x64', 'root', 'kvm', 'podman', 'busybox', 'unshare');
      return (podman = new Podman());
    });

    it('is a device with the nodes of its group, which a container may open, and no other', async function () {
      this.timeout(60_000);
      using built = withNodes(GPU, GROUPS);
      const spec = await exported('cdi', built);
      const nodes = ['vfio/vfio', 'vfio/5', 'vfio/6'];
      const {exit, stdout, stderr} = podman.run(LOOK, {spec, nodes, devices: ['kvfio/vfio=group5']});
      assert.equal(exit, 0, stderr);
      const lines = stdout.trim().split('\n');
      assert.deepEqual(lines.filter((line) => !line.includes('=')).sort(), ['vfio/5', 'vfio/vfio']);
      assert.ok(lines.includes('KVFIO_GROUP_5=0000:01:00.0,0000:01:00.1'));
      const refused = podman.run(LOOK, {spec, nodes, devices: ['kvfio/vfio=group6']});
      assert.notEqual(refused.exit, 0);
      assert.match(refused.stderr, /kvfio\/vfio=group6/);
    });

    it('is several devices by their cdevs', async function () {
      this.timeout(60_000);
      using built = withNodes(CDEVS, NODES);
      const spec = await exported('cdi', built);
      const cdevs = NODES.cdevs.map((name) => `vfio/devices/${name}`);
      const nodes = ['iommu', ...cdevs];
      const devices = ['kvfio/vfio=group5', 'kvfio/vfio=group8'];
      const {exit, stdout, stderr} = podman.run(LOOK, {spec, nodes, devices});
      assert.equal(exit, 0, stderr);
      const lines = stdout.trim().split('\n');
      assert.deepEqual(lines.filter((line) => !line.includes('=')).sort(), nodes.sort());
    });

    it('is valid without a group, and with names that are odd', async function () {
      this.timeout(120_000);
      const odd: MachineSpec = {
        units: {dmar0: intel('f050da')},
        groups: {3: [other('platform', 'a"b\\c\nd=e', {unit: 'dmar0', driver: 'vfio-platform'})]},
      };
      for (const [built, device, expected] of [
        [withNodes({}, {}), 'none', 'KVFIO_CDI_NONE=this host has no group for a VM'],
        [withNodes(odd, {groups: ['3']}), 'group3', 'KVFIO_GROUP_3=a"b\\c\\x0ad=e'],
      ] as const) {
        using each = built;
        const spec = await exported('cdi', each);
        const nodes = ['vfio/vfio', 'vfio/3'];
        const {exit, stdout, stderr} = podman.run(LOOK, {spec, nodes, devices: [`kvfio/vfio=${device}`]});
        assert.equal(exit, 0, `${stderr}${spec}`);
        assert.ok(stdout.split('\n').includes(expected), stdout);
      }
    });
  });
});
