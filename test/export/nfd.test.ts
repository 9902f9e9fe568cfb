import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import {nfd} from '../../src/export/nfd.js';
import {takeReading, type Holders} from '../../src/export/reading.js';
import {openTree} from '../../src/host/open-tree.js';
import {intel, machine, type pci, type MachineSpec} from '../support/machine.js';
import {needs} from '../support/needs.js';
import {exported} from './exported.js';
import {GPU, oddMachines} from './machines.js';

const NOBODY: Holders = {byGroup: new Map(), hidden: 0};
const HOUR = 3600;

/** The file of a machine whose processes are told. */
const fileOf = async (spec: MachineSpec, holders: Holders | null = NOBODY): Promise<string> => {
  using built = machine(spec);
  const reading = await takeReading(openTree(built.root), {kvfioVersion: '1', parts: []});
  return [...nfd.pieces({...reading, holders, time: 1_800_000_000.5})].join('');
};

interface Parsed {
  labels: Record<string, string>;
  features: Record<string, string>;
  /** Seconds since 1970. */
  expires: number;
}

/** A file as NFD reads it: a directive is of the next line, but for the expiry, which is of all that follow. */
const parse = (text: string): Parsed => {
  const parsed: Parsed = {labels: {}, features: {}, expires: 0};
  let isLabel = true;
  for (const line of text.split('\n').filter((each) => each !== '')) {
    const [, directive, value = ''] = /^# \+([^=]*)=?(.*)$/.exec(line) ?? [];
    if (directive === 'expiry-time') parsed.expires = Date.parse(value) / 1000;
    else if (directive === 'no-label') isLabel = false;
    else if (directive !== undefined) assert.fail(`NFD knows no directive ${directive}`);
    else if (!line.startsWith('#')) {
      const [name = '', ...rest] = line.split('=');
      parsed[isLabel ? 'labels' : 'features'][name] = rest.join('=');
      isLabel = true;
    }
  }
  return parsed;
};

const label = (name: string): string => `feature.node.kubernetes.io/kvfio-${name}`;
const readyOf = async (...given: Parameters<typeof fileOf>): Promise<string | undefined> =>
  parse(await fileOf(...given)).labels[label('gpu.ready')];

describe('kvfio export nfd', () => {
  it('labels a node with what its groups are good for, by kind', async () => {
    const {labels, features, expires} = parse(await fileOf(GPU));
    assert.deepEqual(labels, {
      [label('complete')]: 'true',
      [label('groups.count')]: '3',
      [label('gpu.ready')]: 'true',
      [label('gpu.count')]: '1',
      [label('gpu.ready.count')]: '1',
      [label('nic.ready')]: 'false',
      [label('nic.count')]: '1',
      [label('nic.bindable.count')]: '1',
      [label('audio.ready')]: 'true',
      [label('audio.count')]: '1',
      [label('audio.ready.count')]: '1',
    });
    assert.deepEqual(features, {
      'kvfio-unread.files.count': '0',
      'kvfio-unread.processes.count': '0',
      'kvfio-ready.10de-1b80.count': '1',
      'kvfio-ready.10de-10f0.count': '1',
      'kvfio-group.5': 'ready.gpu.audio',
      'kvfio-group.6': 'bindable.nic',
      'kvfio-group.7': 'unassignable.bridge',
    });
    assert.equal(expires, 1_800_000_000 + HOUR);
  });

  it('calls a GPU group ready only when it is free, assignable and coherent for certain', async () => {
    assert.equal(await readyOf(GPU, {byGroup: new Map([[5, [1]]]), hidden: 0}), 'false');
    assert.equal(await readyOf(GPU, {byGroup: new Map([[5, [1]]]), hidden: 3}), 'false');
    assert.equal(await readyOf(GPU, {byGroup: new Map(), hidden: 3}), 'unknown');
    assert.equal(await readyOf(GPU, null), 'unknown');
    const nonCoherent = {...GPU, units: {dmar0: intel('f00f4a'), dmar1: intel('f00f4a')}};
    assert.equal(await readyOf(nonCoherent), 'false');
    const undecided = {...GPU, units: {...GPU.units, dmar0: {files: {}}}};
    assert.equal(await readyOf(undecided), 'unknown');
    const [gpu = assert.fail()] = GPU.groups?.[5] as ReturnType<typeof pci>[];
    const unbound = {...GPU, groups: {...GPU.groups, 5: [{...gpu, driver: 'nouveau'}]}};
    assert.equal(await readyOf(unbound), 'false');
  });

  it('says what could not be read, in a label and in a line', async () => {
    using built = machine(GPU);
    const text = await exported('nfd', built);
    assert.match(text, /^# Not read: holders\. .* Only this machine shows its processes/m);
    const {labels, features} = parse(text);
    assert.equal(labels[label('complete')], 'false');
    assert.equal(features['kvfio-unread.holders'], 'true');
  });

  it('stays below 64 KiB, says what it leaves out, and leaves out the least useful', async () => {
    using built = machine(GPU);
    const reading = await takeReading(openTree(built.root), {kvfioVersion: '1', parts: []});
    const [ready = assert.fail(), bindable = assert.fail()] = reading.groups.groups;
    const count = 4000;
    const groups = [...Array(count).keys()].map((group) => ({
      ...(group % 2 === 0 ? bindable : ready),
      group,
    }));
    const text = [...nfd.pieces({...reading, holders: NOBODY, groups: {...reading.groups, groups}})].join('');
    const bytes = Buffer.byteLength(text);
    assert.ok(bytes <= 65_536 && bytes > 65_000, `${bytes} bytes`);
    const {labels, features} = parse(text);
    assert.equal(labels[label('gpu.ready.count')], String(count / 2));
    const told = Object.keys(features).filter((name) => name.startsWith('kvfio-group.'));
    assert.ok(told.every((name) => features[name] === 'ready.gpu.audio'));
    assert.equal(features['kvfio-left-out.count'], String(count - told.length));
    assert.match(text, new RegExp(`^# Left out: ${count - told.length} of ${count + 2} features, `, 'm'));
  });

  it('has names and values that Kubernetes takes, whatever the machine', async () => {
    for (const [name, built] of oddMachines()) {
      using each = built;
      const {labels, features} = parse(await exported('nfd', each));
      for (const [key, value] of Object.entries({...labels, ...features})) {
        assert.match(key.replace('feature.node.kubernetes.io/', ''), LABEL, name);
        assert.match(value, LABEL, name);
      }
      assert.ok(Object.keys(labels).every((key) => key.startsWith('feature.node.kubernetes.io/')));
    }
  });

  it('has labels that kubectl puts on a node', async function () {
    needs(this, 'kubectl');
    this.timeout(60_000);
    const {labels} = parse(await fileOf(GPU));
    const put = (...words: string[]): ReturnType<typeof spawnSync> =>
      spawnSync('kubectl', ['label', '--local', '-f', '-', '-o', 'json', ...words], {
        encoding: 'utf8',
        input: '{"apiVersion":"v1","kind":"Node","metadata":{"name":"n"}}',
      });
    const {status, stdout, stderr} = put(...Object.entries(labels).map((each) => each.join('=')));
    assert.equal(status, 0, String(stderr));
    const {metadata} = JSON.parse(String(stdout)) as {metadata: {labels: Record<string, string>}};
    assert.deepEqual(metadata.labels, labels);
    assert.notEqual(put('kvfio=no..').status, 0);
  });
});

/** IsQualifiedName, without a namespace, and IsValidLabelValue. */
const LABEL = /^(?=.{1,63}$)[A-Za-z\d](?:[\w.-]*[A-Za-z\d])?$/;
