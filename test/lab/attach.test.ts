import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import type {ChangeDocument} from '../../src/kvm-vfio/change-document.js';
import type {StatusDocument} from '../../src/kvm-vfio/status.js';
import {guestProgram} from '../support/guest-program.js';
import {lab} from '../support/lab.js';
import {scratch} from '../vm/vmm.js';
import type {AttachStep, AttachTranscript} from './attach-in-lab.js';
import type {Refused} from './lab-changes.js';

const script = (program: string, extent: 'SHORT' | 'WHOLE'): string => `
set -e
group=$(ls /dev/vfio | grep -v '^vfio$')
tracing=/sys/kernel/tracing
[ -e $tracing/kprobe_events ] || mount -t tracefs tracefs $tracing
# recording names would patch code of the scheduler, which a guest under TCG does not always survive
echo 0 > $tracing/options/record-cmd
echo 'p:kvfio/on kvm_arch_register_noncoherent_dma' >> $tracing/kprobe_events
echo 'p:kvfio/off kvm_arch_unregister_noncoherent_dma' >> $tracing/kprobe_events
echo 1 > $tracing/events/kvfio/enable
cd "$KVFIO_LAB_OUT"
node ${program} seen.json $group ${extent}
`;

describe('attaching a real VFIO group (lab)', function () {
  this.timeout(1_200_000);

  // the whole sequence where KVM's count moves: one that stays 0 cannot show more
  for (const [kernel, iommu, coherent] of [
    ['6.12', 'intel', false],
    ['6.12', 'intel-snoop', true],
    ['6.12', 'amd', true],
    ['6.1', 'intel', false],
    ['6.1', 'intel-snoop', true],
  ] as const) {
    it(`moves the kernel's count exactly when kvfio says so, on ${kernel} with ${iommu}`, async function () {
      using folder = scratch();
      const program = guestProgram(folder.path('.'), 'lab/attach-in-lab.ts');
      const {exitCode, stderr} = await lab(this, {
        kernel,
        iommu,
        out: folder.path('.'),
        task: {script: script(program, coherent ? 'SHORT' : 'WHOLE')},
      });
      assert.equal(exitCode, 0, stderr.toString());
      const seen = JSON.parse(readFileSync(folder.path('seen.json'), 'utf8')) as AttachTranscript;
      let base: [number, number] = [0, 0];
      for (const way of ['agent', 'inject'] as const) {
        assertSession(seen[way], way, coherent, base);
        base = stepOf(seen[way], 'ended').hits;
      }
    });
  }
});

const stepOf = (steps: Record<string, AttachStep>, name: string): AttachStep => {
  const step = steps[name];
  assert.ok(step, name);
  return step;
};

const assertSession = (
  steps: Record<string, AttachStep>,
  way: 'agent' | 'inject',
  coherent: boolean,
  [on, off]: readonly [number, number],
): void => {
  // finding out by ADD counts where the group was not registered, and is undone
  let found = 0;
  const change = (
    name: string,
    outcome: string,
    hasChanged: boolean,
    registrations: number,
    releases: number,
  ): ChangeDocument => {
    const {answer, hits} = stepOf(steps, name);
    const about = `${way}, ${name}: ${JSON.stringify(answer)}`;
    assert.ok('changed' in answer, about);
    assert.deepEqual(
      [answer.files[0]?.outcome, answer.changed, answer.via],
      [outcome, hasChanged, way],
      about,
    );
    const moved = coherent ? [0, 0] : [registrations + found, releases + found];
    assert.deepEqual([hits[0] - on, hits[1] - off], moved, about);
    return answer;
  };
  const status = (name: string): StatusDocument => {
    const {answer} = stepOf(steps, name);
    assert.ok('verified' in answer, `${way}, ${name}: ${JSON.stringify(answer)}`);
    return answer;
  };
  const refused = (name: string, errno: string): void => {
    const {exit, errno: answered} = stepOf(steps, name).answer as Refused;
    assert.deepEqual([exit, answered], [6, errno], `${way}, ${name}`);
  };
  const openBy = (name: string): string | null => stepOf(steps, name).group;
  const state = coherent ? 'coherent' : 'non-coherent';

  const predicted = change('predicted', 'planned', true, 0, 0);
  const attached = change('attached', 'added', true, 1, 0);
  assert.deepEqual(
    [attached.before.state, attached.after.state, attached.device.state],
    ['coherent', state, 'created'],
  );
  assert.deepEqual([predicted.after, predicted.steps], [attached.after, attached.steps]);
  assert.match(attached.after.wbinvd, coherent ? /is skipped/ : /executed on every CPU/);
  assert.equal(openBy('attached'), 'EBUSY');
  const verified = status('verified');
  assert.deepEqual(
    verified.files.map(({registered, given, changedSince, decided}) => [
      registered,
      given,
      changedSince,
      decided,
    ]),
    [[true, true, false, {verdict: coherent ? 'enforced' : 'not-enforced', devices: 1}]],
  );
  assert.equal(verified.coherency.state, state);
  if (!coherent) {
    const again = change('again', 'already', false, 1, 0);
    assert.deepEqual([again.before.state, again.after.state], [state, state]);
    const deleted = change('deleted', 'deleted', true, 1, 1);
    assert.deepEqual([deleted.before.state, deleted.after.state], [state, 'coherent']);
    refused('deleted again', 'ENOENT');
    const unregistered = status('not registered');
    assert.ok(unregistered.files.every(({registered}) => registered === false));
    assert.equal(unregistered.coherency.state, 'coherent');
    found = way === 'inject' ? 1 : 0;
    change('attached again', 'added', true, 2, 1);
    refused('added', 'EEXIST');
  }
  change('detached', 'deleted', true, coherent ? 1 : 2, coherent ? 1 : 2);
  assert.equal(openBy('detached'), 'free');
  if (!coherent) {
    change('detached again', 'absent', true, 2, 2);
    change('attached to be lost', 'added', true, 3, 2);
    const lost = status('lost');
    assert.deepEqual(
      lost.files.map(({gone, changedSince, decided}) => [gone, changedSince, decided]),
      [[true, true, {verdict: 'not-enforced', devices: 1}]],
      'KVM keeps the file of a group that has lost its devices, and what it saw',
    );
    assert.ok(lost.warnings.some(({code}) => code === 'FILE_GONE'));
    change('detached lost', 'deleted', true, 3, 3);
    change('attached at last', 'added', true, 4, 3);
    assert.equal(openBy('attached at last'), 'EBUSY');
  }
  assert.equal(openBy('ended'), 'free', 'the group is free when the VM has ended');
};
