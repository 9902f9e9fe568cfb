import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import type {DoctorDocument} from '../../src/doctor/doctor.js';
import type {GroupsDocument} from '../../src/groups/groups-document.js';
import type {VmsDocument} from '../../src/kvm-vfio/vms.js';
import {guestProgram} from '../support/guest-program.js';
import {lab} from '../support/lab.js';
import {made} from '../support/made.js';
import {needs} from '../support/needs.js';
import {PROJECT} from '../support/run.js';
import {scratch} from '../vm/vmm.js';
import {AGENT_ANSWERS} from './agent-answers.js';

/** In the guest: the commands, and the agent in C with a real group. */
const observe = (program: string): string => `
set -e
out=$KVFIO_LAB_OUT
kvfio groups --json > $out/groups.json
kvfio doctor --json --for passthrough > $out/doctor.json
kvfio vm --sock /tmp/kvfio.sock & vm=$!
"$out/example-vmm" /tmp/c.sock & c=$!
until [ -S /tmp/kvfio.sock ] && [ -S /tmp/c.sock ]; do sleep 0.2; done
kvfio vms --json > $out/vms.json
echo $vm $c > $out/pids
node "$out/${program}" /tmp/c.sock $out/agent.json
`;

describe('a lab for arm64, with an SMMUv3', function () {
  this.timeout(1_800_000);
  let folder: ReturnType<typeof scratch>;
  made(() => (folder = scratch()));
  const read = (name: string): unknown => JSON.parse(readFileSync(folder.path(name), 'utf8'));

  before(async function () {
    needs(this, 'aarch64-linux-gnu-gcc');
    const sources = join(PROJECT, 'src/owner/agent');
    const {status, stderr: complaints} = spawnSync(
      'aarch64-linux-gnu-gcc',
      [
        '-static',
        '-Wall',
        '-Werror',
        '-O2',
        '-o',
        folder.path('example-vmm'),
        join(sources, 'example-vmm.c'),
      ],
      {encoding: 'utf8'},
    );
    assert.equal(status, 0, complaints);
    const {exitCode, stderr} = await lab(this, {
      arch: 'arm64',
      kernel: '6.1',
      out: folder.path('.'),
      bootLimit: 600,
      task: {script: observe(guestProgram(folder.path('.'), 'lab/agent-in-lab.ts'))},
    });
    assert.equal(exitCode, 0, stderr.toString());
  });

  it('has groups behind the SMMU, one of which a VM can have', () => {
    const {kernel, units, groups} = read('groups.json') as GroupsDocument;
    assert.match(kernel.release ?? '', /-arm64$/);
    assert.deepEqual(
      units.map(({type}) => type),
      ['arm-smmu-v3'],
    );
    const bound = groups.filter(({devices}) => devices.some(({boundToVfio}) => boundToVfio));
    assert.deepEqual(
      bound.map(({assignable, snoopControl}) => [assignable.verdict, snoopControl.allMembers.verdict]),
      [['yes', 'not-enforced']],
    );
  });

  it('knows that VFIO takes the others, too, when they are bound', () => {
    const {groups} = read('groups.json') as GroupsDocument;
    const free = groups.filter(({assignable}) => assignable.verdict === 'no');
    assert.ok(free.length >= 5);
    for (const {id, assignable} of free) assert.equal(assignable.afterBind, 'yes', String(id));
  });

  it('has nothing that passthrough lacks, and no WBINVD to speak of', () => {
    const {checks, ready} = read('doctor.json') as DoctorDocument;
    const states = new Map(checks.map(({id, state}) => [id, state]));
    assert.equal(ready, true, JSON.stringify(checks.filter(({state}) => state === 'fail')));
    for (const id of ['kvm', 'kvm-vfio', 'iommu', 'interrupt-remapping', 'assignable', 'snoop-control'])
      assert.equal(states.get(id), 'pass', id);
  });

  it('shows the VMs of kvfio and of a VMM in C', () => {
    const {vms} = read('vms.json') as VmsDocument;
    const pids = readFileSync(folder.path('pids'), 'utf8').trim().split(' ').map(Number);
    assert.deepEqual(
      vms.map(({pid}) => pid).sort((a, b) => a - b),
      pids.sort((a, b) => a - b),
    );
  });

  it('has the agent in C add a group to its VM and delete it, as on x86-64', () => {
    assert.deepEqual(read('agent.json'), AGENT_ANSWERS);
  });
});
