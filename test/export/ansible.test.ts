import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import {mkdirSync, mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {ansibleFacts, type AnsibleFacts} from '../../src/export/ansible.js';
import {takeReading, type Holders} from '../../src/export/reading.js';
import {openTree} from '../../src/host/open-tree.js';
import {intel, machine, pci, type MachineSpec} from '../support/machine.js';
import {needs} from '../support/needs.js';
import {PROJECT} from '../support/run.js';
import {documentOf} from '../support/schema.js';
import {exported} from './exported.js';
import {GPU, ODD, oddMachines, withBytes} from './machines.js';

const NOBODY: Holders = {byGroup: new Map(), hidden: 0};

/** Facts of a machine whose processes are told. */
const factsOf = async (spec: MachineSpec, holders: Holders | null = NOBODY): Promise<AnsibleFacts> => {
  using built = machine(spec);
  const reading = await takeReading(openTree(built.root), {kvfioVersion: '1', parts: ['details', 'doctor']});
  return ansibleFacts({...reading, holders});
};

describe('kvfio export ansible', () => {
  it('has groups with their verdicts, units, and what doctor finds', async () => {
    const {units, groups, doctor} = await factsOf(GPU);
    assert.deepEqual(units, [
      {name: 'dmar0', type: 'intel-vt-d', snoop: 'enforced'},
      {name: 'dmar1', type: 'intel-vt-d', snoop: 'not-enforced'},
    ]);
    const [gpu, nic, bridge] = groups;
    assert.deepEqual(
      [gpu?.group, gpu?.assignable, gpu?.free, gpu?.coherent, gpu?.kinds, gpu?.devices[0]?.numaNode],
      [5, 'yes', true, true, ['gpu', 'audio'], 1],
    );
    assert.deepEqual(
      [nic?.assignable, nic?.assignableAfterBind, nic?.coherent, nic?.obstacles],
      ['no', 'yes', false, ['bound', 'drivers']],
    );
    assert.equal(bridge?.assignableAfterBind, 'no');
    assert.equal(doctor?.checks['iommu'], 'pass');
    assert.ok(doctor.failed.some(({id, remedy}) => id === 'kvm' && remedy !== null));
  });

  it('calls a group free only when nobody can have it', async () => {
    const freedom = async (holders: Holders | null): Promise<(boolean | null)[]> =>
      (await factsOf(GPU, holders)).groups.map(({free}) => free);
    assert.deepEqual(await freedom({byGroup: new Map([[5, [1]]]), hidden: 0}), [false, true, true]);
    assert.deepEqual(await freedom({byGroup: new Map([[5, [1]]]), hidden: 1}), [false, null, null]);
    assert.deepEqual(await freedom(null), [null, null, null]);
  });

  it('keeps to its schema and says what could not be read, whatever the machine', async () => {
    for (const [name, built] of oddMachines()) {
      using each = built;
      const facts = documentOf<AnsibleFacts>(await exported('ansible', each), 'export-ansible');
      assert.deepEqual(
        facts.unread.parts.map(({part}) => part),
        ['vms', 'holders'],
        name,
      );
    }
  });

  it('is read by Ansible as it was written, with odd names and with bytes that are no UTF-8', async function () {
    needs(this, 'time', 'ansible-playbook');
    this.timeout(120_000);
    using odd = machine({
      units: {dmar0: intel('f050da')},
      groups: {3: [pci('0000:02:00.0', {unit: 'dmar0', driver: `x${ODD.replace('\n', ' ')}`})]},
    });
    using bytes = withBytes();
    using hosts = new Hosts();
    const written = {odd: await exported('ansible', odd), bytes: await exported('ansible', bytes)};
    for (const [name, text] of Object.entries(written)) hosts.add(name, text);
    hosts.play(`
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.setup: {gather_subset: ['!all', '!min', local], fact_path: "{{ kvfio_fact_path }}"}
    - ansible.builtin.copy: {content: "{{ ansible_local.kvfio | to_json }}", dest: "{{ kvfio_fact_path }}/read.json"}
`);
    for (const [name, text] of Object.entries(written))
      assert.deepEqual(JSON.parse(hosts.read(name)), JSON.parse(text), name);
  });

  it('lets the playbook of docs select hosts with a free, assignable, coherent GPU group, and no other', async function () {
    needs(this, 'time', 'ansible-playbook');
    this.timeout(120_000);
    using hosts = new Hosts();
    const now = Date.now() / 1000;
    const [gpu = assert.fail(), ...others] = (await factsOf(GPU)).groups;
    const facts = {...(await factsOf(GPU)), time: now};
    const withGpu = (change: object): string =>
      JSON.stringify({...facts, groups: [{...gpu, ...change}, ...others]});
    hosts.add('good', withGpu({}));
    hosts.add('held', withGpu({free: false}));
    hosts.add('hidden', withGpu({free: null}));
    hosts.add('unbound', withGpu({assignable: 'no'}));
    hosts.add('noncoherent', withGpu({coherent: false}));
    hosts.add('undecided', withGpu({coherent: null}));
    hosts.add('nogpu', withGpu({kinds: ['nic']}));
    hosts.add('old', JSON.stringify({...facts, time: now - 7200}));
    hosts.add('without', null);
    const stdout = hosts.play(join(PROJECT, 'docs/select-gpu-hosts.yml'));
    const said = [...stdout.matchAll(/GPU groups of (\w+): ([\d, ]+)/g)].map(([, host, ids]) => [host, ids]);
    assert.deepEqual(said, [['good', '5']]);
  });
});

/** Hosts of an inventory, all of them this one, each with facts of its own. */
class Hosts implements Disposable {
  readonly #folder = mkdtempSync(join(tmpdir(), 'kvfio-ansible-'));
  readonly #names: string[] = [];

  add(name: string, facts: string | null): void {
    mkdirSync(join(this.#folder, name));
    if (facts !== null) writeFileSync(join(this.#folder, name, 'kvfio.fact'), facts, {mode: 0o644});
    this.#names.push(name);
  }

  read(name: string): string {
    return spawnSync('cat', [join(this.#folder, name, 'read.json')], {encoding: 'utf8'}).stdout;
  }

  /** @param playbook its text, or the path of its file */
  play(playbook: string): string {
    const inventory = join(this.#folder, 'hosts');
    writeFileSync(
      inventory,
      this.#names
        .map(
          (name) =>
            `${name} ansible_connection=local ansible_python_interpreter=/usr/bin/python3 kvfio_fact_path=${this.#folder}/${name}\n`,
        )
        .join(''),
    );
    const file = playbook.includes('\n') ? join(this.#folder, 'play.yml') : playbook;
    if (file !== playbook) writeFileSync(file, playbook);
    const {status, stdout, stderr} = spawnSync('ansible-playbook', ['-i', inventory, file], {
      encoding: 'utf8',
      env: {PATH: process.env['PATH'] ?? '', HOME: this.#folder, LC_ALL: 'C.UTF-8', ANSIBLE_NOCOLOR: '1'},
    });
    assert.equal(status, 0, stdout + stderr);
    return stdout;
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, {recursive: true, force: true});
  }
}
