import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import type {ErrorDocument} from '../../src/cli/output/report.js';
import type {ProbeDocument} from '../../src/probe/probe-document.js';
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
hits() { awk -v name=$1 '$1 == name {print $2}' $tracing/kprobe_profile; }
end() {
  echo $1 > $out/$name.exit
  echo "$(hits on) $(hits off)" > $out/$name.hits
  sh -c "exec 3<>/dev/vfio/$group" 2>/dev/null && echo free > $out/$name.group || echo busy > $out/$name.group
}
start() {
  name=$1; shift; before=$(hits on)
  kvfio probe --group $group --spread 0 --json "$@" > $out/$name.json 2> $out/$name.err &
  probe=$!
}
attached() {
  while [ "$(hits on)" = "$before" ] && kill -0 $probe; do sleep 0.2; done
  sleep 1
  sh -c "exec 3<>/dev/vfio/$group" 2>/dev/null && echo free > $out/$name.during || echo busy > $out/$name.during
}
start refused; wait $probe; end $?
start success --allow-host-flush --samples 200 --operation wbinvd --operation cpuid; wait $probe; end $?
start interrupted --allow-host-flush --samples 20000; attached; kill -INT $probe; wait $probe; end $?
start failed --allow-host-flush --samples 4000 --cpus-visited 2; attached
echo 0 > /sys/devices/system/cpu/cpu1/online
wait $probe; end $?
echo $group > $out/group
`;

describe('probe with a real VFIO group (lab)', function () {
  this.timeout(900_000);

  it('measures before, with and after it, and leaves it free on success, on Ctrl-C and on an error', async function () {
    using folder = scratch();
    const {exitCode, stderr} = await lab(this, {
      kernel: '6.12',
      iommu: 'intel',
      out: folder.path('.'),
      task: {script: SCRIPT},
    });
    assert.equal(exitCode, 0, stderr.toString());
    const text = (name: string): string => readFileSync(folder.path(name), 'utf8').trim();
    const document = (step: string): unknown => JSON.parse(text(`${step}.json`)) as unknown;
    const ended = (step: string): unknown => [
      Number(text(`${step}.exit`)),
      text(`${step}.hits`),
      text(`${step}.group`),
    ];
    const about = (step: string): string => `${step}: ${text(`${step}.err`)} ${text(`${step}.json`)}`;

    assert.deepEqual(ended('refused'), [5, '0 0', 'free'], about('refused'));
    assert.equal((document('refused') as ErrorDocument).error.code, 'HOST_FLUSH');

    assert.deepEqual(ended('success'), [0, '1 1', 'free'], about('success'));
    const success = document('success') as ProbeDocument;
    assert.equal(success.ended, 'complete');
    assert.deepEqual(
      success.phases.map(({when, phase, coherency}) => [when, phase, coherency.state]),
      [
        ['before-groups', 'coherent', 'coherent'],
        ['with-groups', 'attached', 'non-coherent'],
        ['after-groups', 'deleted', 'coherent'],
      ],
    );
    assert.deepEqual(
      success.series.map(({operation, phase, samples}) => `${operation} ${phase} ${samples}`),
      ['coherent', 'attached', 'deleted'].flatMap((phase) => [`wbinvd ${phase} 200`, `cpuid ${phase} 200`]),
    );
    assert.equal(success.differences.length, 4);
    for (const {phase, operations, otherExits} of success.phases) {
      // each WBINVD and each CPUID makes the emulated processor leave its guest
      assert.ok(otherExits !== null && otherExits < operations, `${phase} ${about('success')}`);
    }
    assert.equal(success.verdict.wbinvd, 'cannot-tell');
    assert.match(success.verdict.reasons.join('; '), /emulated \(QEMU TCG\).*by KVM's rule it is executed/);
    assert.match(text('success.err'), /WBINVD flushes the caches .* at most a tenth of the time/);

    assert.deepEqual(ended('interrupted'), [0, '2 2', 'free'], about('interrupted'));
    assert.equal(text('interrupted.during'), 'busy');
    const interrupted = document('interrupted') as ProbeDocument;
    assert.equal(interrupted.ended, 'interrupted');
    const [coherent, attached, ...rest] = interrupted.series;
    assert.equal(coherent?.samples, 20_000);
    assert.ok(attached !== undefined && attached.samples > 0 && attached.samples < 20_000);
    assert.equal(rest.length, 0);

    assert.deepEqual(ended('failed'), [5, '3 3', 'free'], about('failed'));
    assert.equal(text('failed.during'), 'busy');
    assert.match((document('failed') as ErrorDocument).error.message, /CPU 1 is offline/);
  });
});
