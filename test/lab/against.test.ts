import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import type {VmDocument} from '../../src/commands/vm.js';
import type {AgainstDocument} from '../../src/probe/against/measure-against.js';
import {lab} from '../support/lab.js';
import {PROJECT} from '../support/run.js';
import {documentOf} from '../support/schema.js';
import {scratch} from '../vm/vmm.js';

const PROGRAM = join(PROJECT, 'test/lab/against-program.js');

/**
 * A guest that waits until its exits are counted, executes WBINVD for a while, and waits again or is ended. Its own
 * counter stands still at both ends.
 */
const SCRIPT = `
out=$KVFIO_LAB_OUT
tracing=/sys/kernel/tracing
[ -e $tracing/instances ] || mount -t tracefs tracefs $tracing
begin() { # NAME PROBE...
  name=$1; shift
  rm -f /tmp/$name.sock $out/$name.*
  kvfio vm --guest wbinvd --paused --sock /tmp/$name.sock --json > $out/$name.vm 2> $out/$name.vm-err & vm=$!
  until [ -S /tmp/$name.sock ]; do sleep 0.1; done
  "$@" > $out/$name.json 2> $out/$name.err & probe=$!
  until [ -s $out/$name.err ] || ! kill -0 $probe 2>/dev/null; do sleep 0.1; done
  ls $tracing/instances | wc -l > $out/$name.instances
  kill -USR2 $vm
}
# in the place of the shell that was started for it, so that signals reach it
against_vm() { exec "${process.execPath}" "${PROGRAM}" $vm "$@"; }
end() { # NAME
  wait $probe
  echo $? > $out/$1.exit
  ls $tracing/instances | wc -l > $out/$1.left
  kill -INT $vm 2>/dev/null
  wait $vm
}
cat $tracing/options/record-cmd > $out/record-cmd.before
is_paused() { until grep -q paused $out/$1.vm-err; do sleep 0.1; done; }
# the guest is paused before counting ends; on a busy machine that takes longer than it is counted, and is tried again
for seconds in 8 30 90; do
  begin paused kvfio probe --against --vm-sock /tmp/paused.sock --duration $seconds --json
  begun=$(date +%s)
  sleep 3
  kill -USR2 $vm
  is_paused paused
  took=$(($(date +%s) - begun))
  end paused
  [ $took -ge $((seconds - 2)) ] || break
done
if [ $full = yes ]; then
  # killed, so that nothing is cleaned up
  begin killed kvfio probe --against --vm-sock /tmp/killed.sock --duration 60 --json
  kill -KILL $probe
  end killed
  # the VM ends before counting does; what the one before left is removed
  begin ended against_vm 60 buffer
  sleep 3
  kill -INT $vm
  end ended
  # stopped by the user. The guest is paused, as a machine under emulation does not survive that KVM is patched while it
  # runs a guest: the breakpoint of the patch is seen after it has gone
  begin interrupted kvfio probe --against --vm-sock /tmp/interrupted.sock --duration 60 --json
  sleep 1
  kill -USR2 $vm
  is_paused interrupted
  kill -INT $probe
  end interrupted
fi
cat $tracing/options/record-cmd > $out/record-cmd.after
`;

describe('counting the exits of a running VM (lab)', function () {
  this.timeout(600_000);

  for (const kernel of ['6.12', '6.1']) {
    it(`counts exactly what the guest itself has counted, on ${kernel}`, async function () {
      using folder = scratch();
      const full = kernel === '6.12';
      const {exitCode, stderr} = await lab(this, {
        kernel,
        out: folder.path('.'),
        task: {script: `full=${full ? 'yes' : 'no'}${SCRIPT}`},
      });
      assert.equal(exitCode, 0, stderr.toString());
      const text = (name: string): string => readFileSync(folder.path(name), 'utf8').trim();
      const guest = (name: string): number =>
        (JSON.parse(text(`${name}.vm`).trimEnd().split('\n').at(-1) ?? '') as VmDocument).wbinvds ?? -1;
      const counted = (name: string, ended: AgainstDocument['ended']): AgainstDocument => {
        const about = text(`${name}.err`);
        assert.equal(text(`${name}.exit`), '0', about);
        assert.equal(text(`${name}.instances`), '2', 'instances of its own while it runs');
        assert.equal(text(`${name}.left`), '0', 'and none after it');
        const document = documentOf<AgainstDocument>(text(`${name}.json`), 'probe-against');
        assert.equal(document.ended, ended, about);
        assert.match(document.machine.kvmModule ?? '', /^kvm_(amd|intel)$/);
        return document;
      };
      /** Every exit has a pair, unless events are said to be lost. */
      const timedAll = ({vcpus, wbinvd, lostEvents}: AgainstDocument): void => {
        const [vcpu, ...others] = vcpus;
        assert.ok(vcpu?.vcpu === 0 && others.length === 0);
        assert.ok(vcpu.timed <= wbinvd.exits);
        assert.ok(
          wbinvd.exits - vcpu.timed <= lostEvents,
          `${vcpu.timed} of ${wbinvd.exits}, ${lostEvents} lost`,
        );
        const {min, median, max} = vcpu.nanoseconds ?? {min: 0, median: 0, max: 0};
        assert.ok(0 < min && min <= median && median <= max && max < 10e9, `${min} ${median} ${max}`);
      };

      const paused = counted('paused', 'duration');
      assert.ok(guest('paused') > 0);
      assert.equal(paused.wbinvd.exits, guest('paused'));
      assert.equal(paused.wbinvd.counted, 'histogram');
      assert.deepEqual([paused.wbinvd.uncounted, paused.vcpus[0]?.exits], [0, guest('paused')]);
      timedAll(paused);
      assert.equal(text('record-cmd.after'), text('record-cmd.before'));
      console.log(
        `      ${kernel}: ${paused.wbinvd.exits} exits, ${paused.vcpus[0]?.timed} timed, ${paused.lostEvents} lost`,
      );
      if (!full) return;

      assert.equal(text('killed.left'), '2', 'a killed one leaves its instances');
      const ended = counted('ended', 'vm-ended');
      assert.ok(guest('ended') > 0);
      assert.equal(ended.wbinvd.exits, guest('ended'));
      assert.equal(ended.wbinvd.counted, 'buffer');
      assert.equal(ended.vcpus[0]?.exits, null);
      timedAll(ended);
      const interrupted = counted('interrupted', 'interrupted');
      assert.ok(guest('interrupted') > 0);
      assert.equal(interrupted.wbinvd.exits, guest('interrupted'));
    });
  }
});
