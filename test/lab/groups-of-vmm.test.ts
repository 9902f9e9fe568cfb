import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import type {StatusDocument} from '../../src/kvm-vfio/status.js';
import {guestProgram} from '../support/guest-program.js';
import {lab} from '../support/lab.js';
import {PROJECT} from '../support/run.js';
import {compile, scratch} from '../vm/vmm.js';
import type {GroupsTranscript, GroupStep} from './groups-in-lab.js';
import type {Answer} from './lab-changes.js';

/** The NIC behind port 3 is bound to vfio-pci from the start, the one behind port 1 is bound here. */
const SCRIPT = `
set -e
nic() { basename "$(echo /sys/bus/pci/devices/0000:00:$1.0/0000:*)"; }
second=$(nic 03)
echo "$second" > "/sys/bus/pci/devices/$second/driver/unbind"
echo vfio-pci > "/sys/bus/pci/devices/$second/driver_override"
echo "$second" > /sys/bus/pci/drivers_probe
tracing=/sys/kernel/tracing
# recording names would patch code of the scheduler, which a guest under TCG does not always survive
echo 0 > $tracing/options/record-cmd
echo 'p:kvfio/on kvm_arch_register_noncoherent_dma' >> $tracing/kprobe_events
echo 'p:kvfio/off kvm_arch_unregister_noncoherent_dma' >> $tracing/kprobe_events
echo 1 > $tracing/events/kvfio/enable
cd "$KVFIO_LAB_OUT"
`;

describe('groups of a VMM (lab)', function () {
  this.timeout(600_000);

  for (const kernel of ['6.12', '6.1']) {
    describe(`on ${kernel}`, () => {
      let seen: GroupsTranscript;
      before(async function () {
        using folder = scratch();
        compile(join(PROJECT, 'test/vm/wbinvd-vmm.c'), folder.path('wbinvd-vmm'));
        const program = guestProgram(folder.path('.'), 'lab/groups-in-lab.ts');
        const {exitCode, stderr} = await lab(this, {
          kernel,
          iommu: 'intel',
          out: folder.path('.'),
          task: {script: `${SCRIPT}\nnode ${program} ./wbinvd-vmm seen.json "$(nic 05)" "$second"`},
        });
        assert.equal(exitCode, 0, stderr.toString());
        seen = JSON.parse(readFileSync(folder.path('seen.json'), 'utf8')) as GroupsTranscript;
      });

      for (const way of ['agent', 'inject'] as const) {
        it(`by ${way}: one that the VMM opened is used as it is and stays open, one that kvfio opened goes`, () => {
          const {own, other} = seen;
          assert.deepEqual(seen.opened[way].map(summary), [
            ['attached', {[other]: 'added', [own]: 'added'}, 'non-coherent', [1, 0], ['EBUSY', 'EBUSY']],
            ['verified', {[other]: true, [own]: true}, 'non-coherent', [1, 0], ['EBUSY', 'EBUSY']],
            ['detached', {[other]: 'deleted', [own]: 'deleted'}, 'coherent', [1, 1], ['EBUSY', 'done']],
          ]);
          for (const {descriptor} of seen.opened[way]) assert.equal(descriptor, `/dev/vfio/${own}`);
          const status = seen.opened[way][1]?.answer as StatusDocument;
          assert.deepEqual(Object.fromEntries(status.files.map(({group, given}) => [group, given])), {
            [own]: false,
            [other]: true,
          });
        });
      }

      it('stay attached when kvfio has ended, and are free when the VM has', () => {
        const {attached, held, hits, freed, hitsAfter} = seen.left;
        assert.deepEqual([attached.changed, attached.after.state], [true, 'non-coherent']);
        assert.deepEqual([held, hits], ['EBUSY', [1, 0]]);
        assert.deepEqual([freed, hitsAfter], ['done', [1, 1]]);
      });

      it('are seen and managed in a QEMU that has one for its guest', () => {
        const {own, other, qemu} = seen;
        assert.deepEqual(qemu.steps.map(summary), [
          ['status', {[own]: null}, 'unknown', [1, 0], ['EBUSY', 'done']],
          ['verified', {[own]: true}, 'non-coherent', [1, 0], ['EBUSY', 'done']],
          ['attached', {[other]: 'added'}, 'non-coherent', [1, 0], ['EBUSY', 'EBUSY']],
          ['own attached', {[own]: 'already'}, 'non-coherent', [1, 0], ['EBUSY', 'EBUSY']],
          ['detached', {[other]: 'deleted'}, 'unknown', [1, 0], ['EBUSY', 'done']],
          ['own detached', {[own]: 'deleted'}, 'coherent', [1, 1], ['EBUSY', 'done']],
          ['own attached again', {[own]: 'added'}, 'non-coherent', [2, 1], ['EBUSY', 'done']],
        ]);
        for (const {descriptor} of qemu.steps) assert.equal(descriptor, `/dev/vfio/${own}`);
        const status = qemu.steps[1]?.answer as StatusDocument;
        assert.equal(status.vm.command, 'qemu-system-x86');
        assert.deepEqual(
          status.files.map(({kind, given, verdict, confidence}) => [kind, given, verdict, confidence]),
          [['group', false, 'not-enforced', 'exact']],
        );
        assert.match(status.files[0]?.devices.join() ?? '', /^0000:0[0-9a-f]:00\.0$/);
        assert.equal(status.device.all.length, 1);
      });

      it('do not disturb that QEMU, whose monitor answers after each change and which ends as it should', () => {
        const {monitor, exitCode, freed} = seen.qemu;
        assert.equal(monitor.length, 8);
        for (const answer of monitor) assert.match(answer, /VM status: paused/);
        assert.equal(exitCode, 0);
        assert.deepEqual(freed, ['done', 'done']);
      });

      it('cannot be replaced by the devices of theirs, as this kernel has no nodes for these', () => {
        const {cdev} = seen;
        assert.ok('code' in cdev);
        assert.deepEqual([cdev.code, cdev.exit], ['NO_CDEVS', 8]);
      });
    });
  }
});

/** A step as it can be compared: what became of each group, what the VM is taken for, what KVM counted, who may open. */
const summary = ({name, answer, hits, open}: GroupStep): unknown[] => [
  name,
  'code' in answer ? answer : outcomes(answer),
  'code' in answer ? null : 'after' in answer ? answer.after.state : answer.coherency.state,
  hits,
  open,
];

const outcomes = ({files}: Exclude<Answer, {code: string}>): Record<number, string | boolean | null> => {
  const told: Record<number, string | boolean | null> = {};
  for (const file of files) told[file.group ?? -1] = 'outcome' in file ? file.outcome : file.registered;
  return told;
};
