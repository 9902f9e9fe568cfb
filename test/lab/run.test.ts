import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import type {VmsDocument} from '../../src/kvm-vfio/vms.js';
import type {RunDocument} from '../../src/vmm/run-document.js';
import {lab} from '../support/lab.js';
import {made} from '../support/made.js';
import {needs} from '../support/needs.js';
import {documentOf} from '../support/schema.js';
import {scratch} from '../vm/vmm.js';

/** Runs QEMU as an ordinary user with a group that the host has, and ends it; then a program that fails, and one that does not start. */
const SCRIPT = `
out=$KVFIO_LAB_OUT
chmod 666 /dev/kvm
set -- $(kvfio groups --driver e1000e --columns group,address --no-header 2> /dev/null | head -n 1)
group=$1 device=$2
echo "$group $device" > $out/group
driver() { basename $(readlink /sys/bus/pci/devices/$device/driver); }
kvfio vmm-args --vmm qemu --group $group > $out/unbound.out 2> $out/unbound.err; echo $? > $out/unbound.exit
qemu="qemu-system-x86_64 -accel kvm -m 64 -nodefaults -display none"

kvfio run --group $group --user nobody --json -- $qemu > $out/run.json 2> $out/run.err & run=$!
until [ "$(kvfio vms --json | grep -c '"group": '$group',')" -gt 0 ]; do
  kill -0 $run || break
  sleep 0.5
done
kvfio vms --json > $out/vms.json
kvfio vmm-args --vmm qemu --group $group > $out/args
driver > $out/during
kill -TERM $run; wait $run; echo $? > $out/run.exit
driver > $out/after

kvfio bind --group $group > /dev/null
kvfio run --group $group --user nobody --vmm qemu -- sh -c 'stat -c %U /dev/vfio/'$group'; env; grep -E "Cap|NoNew" /proc/self/status' > $out/nobody.out 2> $out/nobody.err
stat -c %U /dev/vfio/$group > $out/node
kvfio unbind --group $group > /dev/null

kvfio run --group $group --vmm qemu -- sh -c 'sleep 30 < /dev/vfio/'$group' & exit 0' > $out/left.out 2> $out/left.err
echo $? > $out/left.exit
driver > $out/left.after
pkill sleep
kvfio unbind --group $group > $out/left.unbind 2>&1

kvfio run --group $group --vmm qemu -- sh -c 'exit 7' > $out/fails.out 2> $out/fails.err; echo $? > $out/fails.exit
driver > $out/fails.after
kvfio run --group $group --vmm qemu --keep -- sh -c 'kill -KILL $$' 2> $out/killed.err; echo $? > $out/killed.exit
driver > $out/killed.after
kvfio run --group $group --dry-run -- $qemu > $out/plan
`;

describe('kvfio run in the lab', () => {
  let read: (name: string) => string;
  let group: string;
  let device: string;

  made(async function () {
    this.timeout(600_000);
    needs(this, 'qemu-system-x86_64');
    const folder = scratch();
    const {exitCode, stderr} = await lab(this, {
      iommu: 'intel-snoop',
      out: folder.path(''),
      task: {script: SCRIPT},
    });
    assert.equal(exitCode, 0, stderr.toString());
    read = (name) => readFileSync(folder.path(name), 'utf8').trim();
    [group = '', device = ''] = read('group').split(' ');
    return folder;
  });

  it('runs QEMU as the user with the device, and has it back in the end', () => {
    const document = documentOf<RunDocument>(read('run.json'), 'run');
    assert.deepEqual(document.command.slice(-2), ['-device', `vfio-pci,host=${device}`]);
    const {vms} = documentOf<VmsDocument>(read('vms.json'), 'vms');
    assert.deepEqual(
      vms.map(({user, groups}) => [user, groups.map((held) => String(held.group))]),
      [['nobody', [group]]],
    );
    assert.deepEqual([read('during'), read('after')], ['vfio-pci', 'e1000e'], read('run.err'));
    // SIGTERM reached QEMU, which ends in peace
    assert.deepEqual([document.end?.exitCode, read('run.exit')], [0, '0']);
    assert.deepEqual(
      document.unbind.flatMap(({devices}) => devices).map(({address, outcome}) => [address, outcome]),
      [[device, 'changed']],
    );
  });

  it('has the same arguments as vmm-args, which wants the group bound', () => {
    assert.equal(read('args'), `-device vfio-pci,host=${device}`);
    assert.deepEqual([read('unbound.exit'), read('unbound.out')], ['5', '']);
    assert.match(read('unbound.err'), /kvfio bind --group/);
  });

  it('gives the user the node for that time, and nothing of root', () => {
    const [owner, ...lines] = read('nobody.out').split('\n');
    assert.equal(owner, 'nobody', read('nobody.err'));
    assert.equal(read('node'), 'root');
    assert.ok(!lines.some((line) => /^KVFIO_LAB_OUT=|^HOME=\/root$/.test(line)), lines.join('\n'));
    for (const set of ['CapEff', 'CapBnd', 'CapAmb'])
      assert.ok(lines.includes(`${set}:\t0000000000000000`), set);
    assert.ok(lines.includes('NoNewPrivs:\t1'));
  });

  it('does not give back what a process that the VMM left behind holds, and says so', () => {
    assert.deepEqual([read('left.exit'), read('left.after')], ['5', 'vfio-pci'], read('left.err'));
    assert.match(read('left.err'), /warning: .* is held by process \d+ \(sleep\)/s);
    assert.match(read('left.unbind'), /vfio-pci -> e1000e/);
  });

  it('passes on how the VMM ended, and gives back the device of one that failed', () => {
    assert.deepEqual([read('fails.exit'), read('fails.after')], ['7', 'e1000e'], read('fails.err'));
  });

  it('keeps the device when it is to, also of a VMM that was killed', () => {
    assert.deepEqual([read('killed.exit'), read('killed.after')], ['137', 'vfio-pci'], read('killed.err'));
  });

  it('plans without changing anything', () => {
    assert.match(
      read('plan'),
      new RegExp(`^then: \\S*/qemu-system-x86_64 .* -device vfio-pci,host=${device}$`, 'm'),
    );
  });
});
