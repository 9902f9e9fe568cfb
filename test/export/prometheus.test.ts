import assert from 'node:assert/strict';
import {spawn, spawnSync} from 'node:child_process';
import {once} from 'node:events';
import {mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {createServer, type AddressInfo} from 'node:net';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import {prometheus} from '../../src/export/prometheus.js';
import {takeReading} from '../../src/export/reading.js';
import type {ListedVm} from '../../src/kvm-vfio/vms.js';
import {openTree} from '../../src/host/open-tree.js';
import {machine, type MachineSpec} from '../support/machine.js';
import {needs} from '../support/needs.js';
import {PROJECT} from '../support/run.js';
import {exported} from './exported.js';
import {GPU, ODD, oddMachines, withBytes} from './machines.js';

const samples = (text: string): Map<string, number> =>
  new Map(
    text
      .split('\n')
      .filter((line) => line.startsWith('kvfio_'))
      .map((line) => {
        const at = line.lastIndexOf(' ');
        return [line.slice(0, at), Number(line.slice(at + 1))];
      }),
  );

const of = async (spec: MachineSpec): Promise<Map<string, number>> => {
  using built = machine(spec);
  return samples(await exported('prometheus', built));
};

describe('kvfio export prometheus', () => {
  it('has each device with its group, driver, unit and verdict', async () => {
    const found = [...(await of(GPU)).keys()].filter((series) => series.startsWith('kvfio_group_info'));
    const info = (...values: [number, ...string[]]): string => {
      const [group, address, driver, unit, snoop, kind] = values;
      return `kvfio_group_info{group="${group}",pci_address="${address}",driver="${driver}",iommu="${unit}",snoop="${snoop}",bus="pci",kind="${kind}"}`;
    };
    assert.deepEqual(found, [
      info(5, '0000:01:00.0', 'vfio-pci', 'dmar0', 'enforced', 'gpu'),
      info(5, '0000:01:00.1', 'vfio-pci', 'dmar0', 'enforced', 'audio'),
      info(6, '10000:e1:00.0', 'e1000e', 'dmar1', 'not-enforced', 'nic'),
      info(7, '0000:00:1f.0', '', 'dmar1', 'not-enforced', 'bridge'),
    ]);
  });

  it('says of each group whether a VM can have it, and what KVM would take it for', async () => {
    const found = await of(GPU);
    const values = (metric: string): (number | undefined)[] =>
      [5, 6, 7].map((group) => found.get(`kvfio_group_${metric}{group="${group}"}`));
    assert.deepEqual(values('assignable'), [1, 0, 0]);
    assert.deepEqual(values('assignable_after_bind'), [1, 1, 0]);
    assert.deepEqual(values('snoop_enforced'), [1, 0, 0]);
    // only this machine shows who holds what
    assert.deepEqual(values('held'), [NaN, NaN, NaN]);
  });

  it('says what could not be read', async () => {
    using built = machine(GPU);
    built.remove('proc/sys/kernel/osrelease');
    const found = samples(await exported('prometheus', built));
    assert.equal(found.get('kvfio_part_read{part="doctor"}'), 1);
    assert.equal(found.get('kvfio_part_read{part="vms"}'), 0);
    assert.equal(found.get('kvfio_unread_files{code="ENOENT"}'), 1);
    assert.equal(found.get('kvfio_hidden_processes'), undefined);
  });

  it('tells when the machine was read', async () => {
    const before = Date.now() / 1000;
    const time = (await of({})).get('kvfio_read_timestamp_seconds') ?? NaN;
    assert.ok(time >= before && time <= Date.now() / 1000, String(time));
  });

  it('tells of VMs, of who holds groups, and of who could not be looked into', async () => {
    using built = machine(GPU);
    const reading = await takeReading(openTree(built.root), {kvfioVersion: '1', parts: prometheus.parts});
    const vm = {
      ...{pid: 4711, fd: 9, command: ODD, name: null, device: {fd: null, all: []}},
      ...{groups: [{group: 5}], cdevs: [], coherency: {state: 'coherent', wbinvd: '', assumes: 'nothing'}},
    } as unknown as ListedVm;
    const pieces = prometheus.pieces({
      ...reading,
      vms: {schemaVersion: 1, vms: [vm], looked: 3, hidden: 2, warnings: []},
      holders: {byGroup: new Map([[5, [4711]]]), hidden: 2},
      unread: [],
    });
    const found = samples([...pieces].join(''));
    const labels = '{pid="4711",fd="9",command="a\\"b\\\\c\\nd{e}--f-->ü😀\\\\x1b[1m\\\\u2028-",name=""}';
    assert.equal(found.get(`kvfio_vm_coherent${labels}`), 1);
    assert.equal(found.get(`kvfio_vm_vfio_files${labels}`), 1);
    assert.equal(found.get(`kvfio_vm_kvm_vfio_devices${labels}`), 0);
    assert.equal(found.get('kvfio_group_held{group="5"}'), 1);
    // one of the hidden may have it
    assert.equal(found.get('kvfio_group_held{group="6"}'), NaN);
    assert.equal(found.get('kvfio_hidden_processes'), 2);
  });

  it('shows bytes that are no UTF-8 as what they are', async () => {
    using built = withBytes();
    assert.match(await exported('prometheus', built), /driver="n\ufffdme\ufffd"/);
  });

  it('has each series once, whatever the machine', async () => {
    for (const [name, built] of oddMachines()) {
      using each = built;
      const lines = (await exported('prometheus', each))
        .split('\n')
        .filter((line) => line.startsWith('kvfio_'));
      const series = lines.map((line) => line.slice(0, line.lastIndexOf(' ')));
      assert.equal(new Set(series).size, series.length, name);
    }
  });

  it('is clean to promtool, whatever the machine', async function () {
    needs(this, 'time', 'promtool');
    this.timeout(60_000);
    for (const [name, built] of oddMachines()) {
      using each = built;
      const input = await exported('prometheus', each);
      const {status, stderr, stdout} = spawnSync('promtool', ['check', 'metrics'], {input, encoding: 'utf8'});
      assert.deepEqual([status, stdout, stderr], [0, '', ''], name);
    }
  });

  it('is scraped by the node exporter, with each sample as it was written', async function () {
    needs(this, 'time', 'prometheus-node-exporter');
    this.timeout(60_000);
    const folder = mkdtempSync(join(tmpdir(), 'kvfio-textfile-'));
    try {
      for (const [name, built] of oddMachines()) {
        using each = built;
        const written = await exported('prometheus', each);
        writeFileSync(join(folder, 'kvfio.prom'), written);
        const scraped = await scrape(folder);
        assert.equal(/^node_textfile_scrape_error (\d)$/m.exec(scraped)?.[1], '0', name);
        assert.deepEqual(inOneOrder(samples(scraped)), inOneOrder(samples(written)), name);
      }
    } finally {
      stopExporter();
      rmSync(folder, {recursive: true});
    }
  });

  it('has alert rules that Prometheus accepts', function () {
    needs(this, 'time', 'promtool');
    const file = join(PROJECT, 'docs/alerts.yml');
    const {status, stdout, stderr} = spawnSync('promtool', ['check', 'rules', file], {encoding: 'utf8'});
    assert.equal(status, 0, stdout + stderr);
    assert.match(stdout, /SUCCESS: [1-9]\d* rules found/);
  });

  it('has alert rules that fire when they should, and not before, and a documented query that finds what it says', function () {
    needs(this, 'time', 'promtool');
    const file = join(PROJECT, 'test/export/alerts-over-time.yml');
    const query = /- expr: '(.*)'/.exec(readFileSync(file, 'utf8'))?.[1] ?? assert.fail();
    assert.ok(readFileSync(join(PROJECT, 'docs/scripting.md'), 'utf8').includes(`\n${query}\n`));
    const {status, stdout, stderr} = spawnSync('promtool', ['test', 'rules', file], {encoding: 'utf8'});
    assert.equal(status, 0, stdout + stderr);
  });
});

let exporter: {port: number; stop: () => void} | undefined;

const stopExporter = (): void => {
  exporter?.stop();
  exporter = undefined;
};

const scrape = async (folder: string): Promise<string> => {
  exporter ??= await startExporter(folder);
  const response = await fetch(`http://127.0.0.1:${exporter.port}/metrics`);
  return response.text();
};

const startExporter = async (folder: string): Promise<{port: number; stop: () => void}> => {
  const port = await freePort();
  const child = spawn(
    'prometheus-node-exporter',
    [
      `--web.listen-address=127.0.0.1:${port}`,
      ...['--web.disable-exporter-metrics', '--collector.disable-defaults', '--collector.textfile'],
      `--collector.textfile.directory=${folder}`,
    ],
    {stdio: 'ignore'},
  );
  const stop = (): void => void child.kill();
  for (let tries = 0; tries < 200; tries += 1) {
    if (child.exitCode !== null) throw new Error(`the node exporter ended with ${child.exitCode}`);
    const answer = await fetch(`http://127.0.0.1:${port}/metrics`).catch(() => null);
    if (answer !== null) return {port, stop};
    await sleep(100);
  }
  stop();
  throw new Error('the node exporter does not answer');
};

const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const {port} = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
};

/** The exporter sorts labels by name. No value of these machines has a comma before a quote. */
const inOneOrder = (found: Map<string, number>): [string, number][] =>
  [...found]
    .map(([series, value]): [string, number] => {
      const [, name = series, labels = ''] = /^(\w+)\{(.*)\}$/.exec(series) ?? [];
      return [
        `${name} ${
          labels
            .match(/\w+="(?:[^"\\]|\\.)*"/g)
            ?.sort()
            .filter((label) => !label.endsWith('=""'))
            .join() ?? ''
        }`,
        value,
      ];
    })
    .sort(([a], [b]) => (a < b ? -1 : 1));
