import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import {hostname} from 'node:os';
import Export, {type ExportDocument} from '../../src/commands/export.js';
import {isNodeName} from '../../src/export/node-name.js';
import {nfdObject, type NodeFeature} from '../../src/export/nfd-object.js';
import {takeReading, type Reading} from '../../src/export/reading.js';
import {openTree} from '../../src/host/open-tree.js';
import {machine, type MachineSpec} from '../support/machine.js';
import {needs} from '../support/needs.js';
import {run, start} from '../support/run.js';
import {documentOf} from '../support/schema.js';
import {exported} from './exported.js';
import {GPU, oddMachines} from './machines.js';

/** The object of a machine of which more is told. */
const objectOf = async (spec: MachineSpec, change: Partial<Reading> = {}): Promise<NodeFeature> => {
  using built = machine(spec);
  const reading = await takeReading(openTree(built.root), {
    kvfioVersion: '1',
    parts: ['details'],
    node: 'gpu-1',
  });
  const text = [...nfdObject.pieces({...reading, ...change})].join('');
  return documentOf<NodeFeature>(text, 'export-nfd-object');
};

const devicesOf = ({
  spec,
}: NodeFeature): NodeFeature['spec']['features']['instances']['kvfio.device']['elements'] =>
  spec.features.instances['kvfio.device'].elements;

describe('kvfio export nfd-object', () => {
  it('has the labels of the node, and each device with what its group is good for', async () => {
    const object = await objectOf(GPU, {holders: {byGroup: new Map(), hidden: 0}});
    assert.equal(object.metadata.name, 'kvfio-gpu-1');
    assert.deepEqual(object.metadata.labels, {'nfd.node.kubernetes.io/node-name': 'gpu-1'});
    assert.equal(object.spec.labels['feature.node.kubernetes.io/kvfio-gpu.ready'], 'true');
    const [gpu, , nic] = devicesOf(object).map(({attributes}) => attributes);
    assert.deepEqual(gpu, {
      address: '0000:01:00.0',
      group: '5',
      state: 'ready',
      kind: 'gpu',
      vendor: '10de',
      device: '1b80',
      class: '0300',
      driver: 'vfio-pci',
      iommu: 'dmar0',
      numa_node: '1',
      free: 'true',
      assignable: 'yes',
      assignable_after_bind: 'yes',
      snoop: 'enforced',
    });
    assert.deepEqual([nic?.address, nic?.state, nic?.numa_node], ['10000:e1:00.0', 'bindable', undefined]);
  });

  it('leaves out what is unknown, and says what could not be read', async () => {
    using built = machine(GPU);
    const object = documentOf<NodeFeature>(await exported('nfd-object', built), 'export-nfd-object');
    assert.ok(devicesOf(object).every(({attributes}) => attributes.free === undefined));
    assert.equal(object.spec.features.attributes['kvfio.host'].elements.unread_parts, 'holders');
    assert.equal(object.spec.labels['feature.node.kubernetes.io/kvfio-complete'], 'false');
    assert.equal(object.spec.labels['feature.node.kubernetes.io/kvfio-gpu.ready'], 'unknown');
  });

  it('keeps to its schema, whatever the machine', async () => {
    for (const [, built] of oddMachines()) {
      using each = built;
      documentOf<NodeFeature>(await exported('nfd-object', each), 'export-nfd-object');
    }
  });

  it('stays small enough for etcd, and counts what it leaves out', async () => {
    using built = machine(GPU);
    const reading = await takeReading(openTree(built.root), {kvfioVersion: '1', parts: []});
    const [first = assert.fail(), ...others] = reading.groups.groups;
    const groups = {...reading.groups, groups: [...Array<typeof first>(4000).fill(first), ...others]};
    const text = [...nfdObject.pieces({...reading, groups})].join('');
    assert.ok(Buffer.byteLength(text) < 1.2 * 1024 * 1024, `${Buffer.byteLength(text)} bytes`);
    const object = JSON.parse(text) as NodeFeature;
    const leftOut = Number(object.spec.features.attributes['kvfio.host'].elements.left_out_devices);
    assert.ok(leftOut > 1000);
    assert.equal(devicesOf(object).length + leftOut, 8002);
  });

  it('is about the node that is named, and about none where none is known', async () => {
    using built = machine(GPU);
    const argv = ['nfd-object', '--sysroot', built.root];
    const named = await run(Export, [...argv, '--node', 'rack3.example']);
    const {metadata} = documentOf<NodeFeature>(named.stdout, 'export-nfd-object');
    assert.equal(metadata.name, 'kvfio-rack3.example');
    const unnamed = await run(Export, argv);
    assert.deepEqual((JSON.parse(unnamed.stdout) as NodeFeature).metadata.labels, {});
    assert.match(unnamed.stderr, /name the node with --node/);
    const out = `${built.root}/file`;
    const {notes} = documentOf<ExportDocument>(
      (await run(Export, [...argv, '--out', out, '--json'])).stdout,
      'export',
    );
    assert.equal(notes.length, 1);
    for (const wrong of [
      ['--node', 'Not_A_Node'],
      ['--node', 'x'.repeat(64)],
    ])
      assert.equal((await run(Export, [...argv, ...wrong])).exit, 2);
    assert.equal((await run(Export, ['nfd', '--node', 'rack3', '--sysroot', built.root])).exit, 2);
  });

  it('is about this host without a name', function () {
    needs(this, 'build');
    this.timeout(60_000);
    const own = hostname().toLowerCase();
    const {exit, stdout} = start(['export', 'nfd-object']);
    assert.equal(exit, 0);
    const {metadata} = documentOf<NodeFeature>(stdout, 'export-nfd-object');
    assert.deepEqual(metadata.labels, isNodeName(own) ? {'nfd.node.kubernetes.io/node-name': own} : {});
  });

  it('is an object to kubectl', async function () {
    needs(this, 'kubectl');
    this.timeout(60_000);
    const object = await objectOf(GPU);
    const {status, stdout, stderr} = spawnSync(
      'kubectl',
      ['annotate', '--local', '-f', '-', '-o', 'json', 'kvfio/seen=yes'],
      {encoding: 'utf8', input: JSON.stringify(object)},
    );
    assert.equal(status, 0, stderr);
    const {metadata, ...rest} = JSON.parse(stdout) as NodeFeature;
    assert.deepEqual(rest, {apiVersion: object.apiVersion, kind: object.kind, spec: object.spec});
    assert.deepEqual({...metadata, annotations: object.metadata.annotations}, object.metadata);
  });
});
