import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import type {ErrorDocument} from '../../src/cli/report.js';
import type {ChangeDocument} from '../../src/kvm-vfio/change-document.js';
import type {StatusDocument} from '../../src/kvm-vfio/status.js';
import {lab} from '../support/lab.js';
import {scratch} from '../vm/vmm.js';

/**
 * Each step leaves its document, its exit code, how often KVM has taken a VM for non-coherent and back so far, and
 * whether another process could open the group then.
 */
const SCRIPT = `
out=$KVFIO_LAB_OUT
group=$(ls /dev/vfio | grep -v '^vfio$')
tracing=/sys/kernel/tracing
[ -e $tracing/kprobe_events ] || mount -t tracefs tracefs $tracing
# recording names would patch code of the scheduler, which a guest under TCG does not always survive
echo 0 > $tracing/options/record-cmd
echo 'p:kvfio/on kvm_arch_register_noncoherent_dma' >> $tracing/kprobe_events
echo 'p:kvfio/off kvm_arch_unregister_noncoherent_dma' >> $tracing/kprobe_events
echo 1 > $tracing/events/kvfio/enable
see() {
  awk '$1 == "on" || $1 == "off" {print $2}' $tracing/kprobe_profile > $out/$1.hits
  # without the node the shell would make a file of that name
  [ -c /dev/vfio/$group ] && sh -c "exec 3<>/dev/vfio/$group" 2>/dev/null && echo free > $out/$1.group || echo busy > $out/$1.group
}
step() {
  name=$way-$1; shift
  "$@" --vm-sock /tmp/$way.sock --json > $out/$name.json 2> $out/$name.err
  echo $? > $out/$name.exit
  see $name
}
# what a count that stays 0 cannot show
more() { [ $full = no ] || step "$@"; }
for way in agent inject; do
  [ $way = inject ] && plain=--no-agent || plain=
  kvfio vm --sock /tmp/$way.sock $plain > /dev/null & vm=$!
  until [ -S /tmp/$way.sock ]; do sleep 0.2; done
  step predicted kvfio attach --group $group --dry-run
  step attached kvfio attach --group $group
  more again kvfio attach --group $group
  step verified kvfio status --verify
  more deleted kvfio delete --group $group
  more deleted-again kvfio delete --group $group
  more unregistered kvfio status --verify
  more attached-again kvfio attach --group $group
  more added kvfio add --group $group
  step detached kvfio detach --group $group
  more detached-again kvfio detach --group $group --close-device
  more attached-to-be-lost kvfio attach --group $group
  if [ $full = yes ]; then
    device=$(ls /sys/kernel/iommu_groups/$group/devices)
    echo $device > /sys/bus/pci/drivers/vfio-pci/unbind
    step lost kvfio status
    step detached-lost kvfio detach --group $group
    echo $device > /sys/bus/pci/drivers/vfio-pci/bind
  fi
  more attached-at-last kvfio attach --group $group
  kill -KILL $vm
  wait $vm
  see $way-killed
done
echo $group > $out/group
`;

interface Seen {
  exit: number;
  document: unknown;
  /** How often KVM had taken a VM for non-coherent, and back. */
  hits: [on: number, off: number];
  /** Whether others could open the group. */
  group: string;
}

describe('attaching a real VFIO group (lab)', function () {
  this.timeout(1_200_000);

  for (const [kernel, iommu, coherent] of [
    ['6.12', 'intel', false],
    ['6.12', 'intel-snoop', true],
    ['6.12', 'amd', true],
    ['6.1', 'intel', false],
    ['6.1', 'intel-snoop', true],
  ] as const) {
    it(`moves the kernel's count exactly when kvfio says so, on ${kernel} with ${iommu}`, async function () {
      using folder = scratch();
      const {exitCode, stderr} = await lab(this, {
        kernel,
        iommu,
        out: folder.path('.'),
        task: {script: `full=${coherent ? 'no' : 'yes'}${SCRIPT}`},
      });
      assert.equal(exitCode, 0, stderr.toString());
      const text = (name: string): string => readFileSync(folder.path(name), 'utf8');
      const hitsOf = (name: string): [number, number] => {
        const [on, off] = text(`${name}.hits`).trim().split('\n').map(Number);
        return [on ?? -1, off ?? -1];
      };
      const group = Number(text('group'));

      let base: [number, number] = [0, 0];
      for (const way of ['agent', 'inject'] as const) {
        const see = (step: string): Seen => ({
          exit: Number(text(`${way}-${step}.exit`)),
          document: JSON.parse(text(`${way}-${step}.json`)) as unknown,
          hits: hitsOf(`${way}-${step}`),
          group: text(`${way}-${step}.group`).trim(),
        });
        /** What a step must have answered: outcome, whether it changed something, and what the kernel counted. */
        const expectStep = (
          step: string,
          outcome: string | null,
          changed: boolean | null,
          registrations: number,
          releases: number,
        ): ChangeDocument => {
          const {exit, document, hits} = see(step);
          const about = `${way} ${step}: ${text(`${way}-${step}.err`)} ${JSON.stringify(document)}`;
          assert.equal(exit, 0, about);
          const change = document as ChangeDocument;
          assert.deepEqual([change.files[0]?.outcome, change.changed], [outcome, changed], about);
          assert.equal(change.via, way, about);
          const moved = coherent ? [0, 0] : [registrations, releases];
          assert.deepEqual([hits[0] - base[0], hits[1] - base[1]], moved, about);
          return change;
        };
        const refused = (step: string, errno: string): void => {
          const {exit, document} = see(step);
          assert.deepEqual([exit, (document as ErrorDocument).error.errno], [6, errno], `${way} ${step}`);
        };
        const attachedState = coherent ? 'coherent' : 'non-coherent';

        const predicted = expectStep('predicted', 'planned', true, 0, 0);
        const attached = expectStep('attached', 'added', true, 1, 0);
        assert.deepEqual(
          [attached.before.state, attached.after.state, attached.device.state],
          ['coherent', attachedState, 'created'],
        );
        assert.deepEqual(predicted.after, attached.after);
        assert.deepEqual(predicted.steps, attached.steps);
        assert.match(attached.after.wbinvd, coherent ? /is skipped/ : /executed on every CPU/);
        assert.equal(see('attached').group, 'busy', 'the attachment holds when kvfio has ended');
        const verified = see('verified').document as StatusDocument;
        assert.deepEqual(
          verified.files.map(({changedSince, decided}) => [changedSince, decided]),
          [[false, {verdict: coherent ? 'enforced' : 'not-enforced', devices: 1}]],
        );
        assert.deepEqual(
          verified.files.map(({group: id, registered, given}) => [id, registered, given]),
          [[group, true, true]],
        );
        assert.equal(verified.coherency.state, attachedState);

        if (!coherent) {
          const again = expectStep('again', 'already', false, 1, 0);
          assert.deepEqual([again.before.state, again.after.state], [attachedState, attachedState]);

          const deleted = expectStep('deleted', 'deleted', true, 1, 1);
          assert.deepEqual([deleted.before.state, deleted.after.state], [attachedState, 'coherent']);
          refused('deleted-again', 'ENOENT');
          const unregistered = see('unregistered').document as StatusDocument;
          assert.ok(unregistered.files.every(({registered}) => registered === false));
          assert.equal(unregistered.coherency.state, 'coherent');

          const countedAfter = hitsOf(`${way}-attached-again`);
          const extra = countedAfter[0] - base[0] - 2;
          // finding out by ADD counts where the group was not registered, and is undone
          assert.ok(way === 'inject' || extra === 0);
          base = [base[0] + extra, base[1] + extra];
          expectStep('attached-again', 'added', true, 2, 1);
          refused('added', 'EEXIST');
        }
        expectStep('detached', 'deleted', true, 2, 2);
        assert.equal(see('detached').group, 'free');
        if (!coherent) {
          expectStep('detached-again', 'absent', true, 2, 2);
          expectStep('attached-to-be-lost', 'added', true, 3, 2);
          const lost = see('lost').document as StatusDocument;
          assert.deepEqual(
            lost.files.map(({gone, changedSince, decided}) => [gone, changedSince, decided]),
            [[true, true, {verdict: 'not-enforced', devices: 1}]],
            'KVM keeps the file of a group that has lost its devices, and what it saw',
          );
          assert.ok(lost.warnings.some(({code}) => code === 'FILE_GONE'));
          expectStep('detached-lost', 'deleted', true, 3, 3);
          expectStep('attached-at-last', 'added', true, 4, 3);
          assert.equal(see('attached-at-last').group, 'busy');
        }
        assert.equal(text(`${way}-killed.group`).trim(), 'free', 'the group is free when the VM has ended');
        base = hitsOf(`${way}-killed`);
      }
    });
  }
});
