import assert from 'node:assert/strict';
import {readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import type {Context} from 'mocha';
import type {LabResult} from '../../src/lab/lab.js';
import type {BindDocument, UnbindDocument} from '../../src/vfio/bind/bind-document.js';
import {lab} from '../support/lab.js';
import {parseLspci} from '../support/lspci.js';
import {made} from '../support/made.js';
import {needs} from '../support/needs.js';
import {PROJECT} from '../support/run.js';
import {documentOf} from '../support/schema.js';
import {unfolded} from '../support/unfolded.js';
import {scratch} from '../vm/vmm.js';

const NIC = '0000:01:00.0';
const GROUP = ['0000:04:00.0', '0000:05:00.0', '0000:06:00.0'];
const DISK = '0000:00:02.0';

type State = Record<string, [driver: string | null, override: string]> & {nodes: string[]};

interface Attempt<T> {
  document?: T;
  failure?: {code: string; what: string; why: string; errno: string | null; exitCode: number};
}

/** What test/lab/bind-program.js leaves. */
interface Seen {
  mounted: Attempt<BindDocument>;
  address: Attempt<BindDocument>;
  before: State;
  single: Attempt<BindDocument>;
  singleBound: State;
  singleBack: Attempt<UnbindDocument>;
  singleAfter: State;
  predicted: Attempt<BindDocument>;
  group: Attempt<BindDocument>;
  groupBound: State & Witnesses;
  held: Attempt<UnbindDocument>;
  rolledBack: Attempt<UnbindDocument>;
  rolledBackState: State;
  groupBack: Attempt<UnbindDocument>;
  groupAfter: State & Witnesses;
  journals: string[];
  stuck: Attempt<UnbindDocument>;
  meanwhile: Attempt<UnbindDocument>;
  recovered: Attempt<UnbindDocument>;
  recoveredState: State;
  cuts: {change: number; left: State; open: number; recovered: Attempt<UnbindDocument>; state: State}[];
  uncut: number;
  atLast: State;
}

interface Witnesses {
  driverctl: string | null;
  lspci: string;
}

/** The script of docs/scripting.md, as it stands there. */
const provisioning = (): string => {
  const [, text] =
    /^## Provision a lab$[^]*?^```sh\n([^]*?)^```$/m.exec(
      readFileSync(join(PROJECT, 'docs/scripting.md'), 'utf8'),
    ) ?? [];
  assert.ok(text !== undefined, 'docs/scripting.md has the script');
  return text;
};

/**
 * Keeps a VM while the script runs. The first one on a machine patches the scheduler's code (preempt_notifier_key), which
 * an emulated machine of several processors does not always survive.
 */
const PATCHED = `
one=/sys/devices/system/cpu/cpu1/online
[ ! -e $one ] || echo 0 > $one
perl -e 'open(K, "+<", "/dev/kvm") or die; ioctl(K, 0xae01, 0) or die "KVM_CREATE_VM: $!"; $| = 1; print "up\\n"; sleep 10000' > /tmp/patched &
until [ -s /tmp/patched ]; do sleep 0.2; done
[ ! -e $one ] || echo 1 > $one
`;

const PROVISION = `${PATCHED}
sh $KVFIO_LAB_OUT/lab.sh ${NIC} > $KVFIO_LAB_OUT/provision.out 2> $KVFIO_LAB_OUT/provision.err
echo $? > $KVFIO_LAB_OUT/provision.exit
readlink /sys/bus/pci/devices/${NIC}/driver > $KVFIO_LAB_OUT/provision.driver
cat /sys/bus/pci/devices/${NIC}/driver_override >> $KVFIO_LAB_OUT/provision.driver
ls /run/kvfio/bind >> $KVFIO_LAB_OUT/provision.driver
`;

const SCRIPT = `
set -e
mkfs.ext4 -q /dev/nvme0n1
mkdir /tmp/disk
mount /dev/nvme0n1 /tmp/disk
ip address add 192.0.2.1/24 dev eth0
sh $KVFIO_LAB_OUT/lab.sh ${NIC} > /dev/null 2> $KVFIO_LAB_OUT/refused.err || echo $? > $KVFIO_LAB_OUT/refused.exit
kvfio bind --device ${DISK} --dry-run --json > $KVFIO_LAB_OUT/dry-run.json || echo $? > $KVFIO_LAB_OUT/dry-run.exit
node test/lab/bind-program.js $KVFIO_LAB_OUT
set +e
${PROVISION}
`;

describe('changing drivers for real (lab)', function () {
  this.timeout(1_200_000);

  const provisioned = (text: (name: string) => string): void => {
    const said = `${unfolded(text('provision.out'))}${text('provision.err')}`;
    assert.equal(text('provision.exit').trim(), '0', said);
    assert.match(unfolded(text('provision.out')), /^group \d+: viable, \/dev\/vfio\/\d+ owned by root$/m);
    assert.match(unfolded(text('provision.out')), /^group \d+: added, snoop control not enforced/m);
    assert.match(unfolded(text('provision.out')), /^group \d+: registered, /m);
    assert.match(unfolded(text('provision.out')), new RegExp(`^${NIC} .*: vfio-pci -> e1000e$`, 'm'));
    assert.match(text('provision.driver'), /\/e1000e\n\(null\)\n/);
    assert.ok(!text('provision.driver').includes('.json'), text('provision.driver'));
  };

  const boot = (context: Context, kernel: string, out: string, script: string): Promise<LabResult> => {
    writeFileSync(join(out, 'lab.sh'), provisioning());
    return lab(context, {kernel, out, task: {script}});
  };

  it('runs the documented script of lab provisioning on Linux 6.1', async function () {
    using folder = scratch();
    const {exitCode, stdout, stderr} = await boot(this, '6.1', folder.path('.'), PROVISION);
    assert.equal(exitCode, 0, `${stdout.toString()}${stderr.toString()}`);
    provisioned((name) => readFileSync(folder.path(name), 'utf8'));
  });

  describe('on Linux 6.12', () => {
    let folder: ReturnType<typeof scratch>;
    const text = (name: string): string => readFileSync(folder.path(name), 'utf8');
    let seen: Seen;

    made(function () {
      needs(this, 'lab', 'driverctl', 'lspci');
      return (folder = scratch());
    });
    before(async function () {
      const {exitCode, stdout, stderr} = await boot(this, '6.12', folder.path('.'), SCRIPT);
      assert.equal(exitCode, 0, `${stdout.toString()}${stderr.toString()}`);
      seen = JSON.parse(text('seen.json')) as Seen;
    });

    /** Of a state that was written down with what others say. */
    const bindingsOf = (state: State & Partial<Witnesses>): Record<string, unknown> =>
      Object.fromEntries(Object.entries(state).filter(([name]) => name !== 'driverctl' && name !== 'lspci'));

    const documentIn = <T>({document, failure}: Attempt<T>): T => {
      assert.ok(document !== undefined, JSON.stringify(failure));
      return document;
    };
    const failureIn = ({document, failure}: Attempt<unknown>): NonNullable<Attempt<unknown>['failure']> => {
      assert.ok(failure !== undefined, JSON.stringify(document));
      return failure;
    };

    it('refuses a disk with a mounted file system, and a NIC with an address', () => {
      const mounted = failureIn(seen.mounted);
      assert.deepEqual([mounted.code, mounted.exitCode], ['GUARD_MOUNTED', 5]);
      assert.match(mounted.why, /nvme0n1 is mounted at \/tmp\/disk/);
      const address = failureIn(seen.address);
      assert.equal(address.code, 'GUARD_NETWORK', 'a forced guard does not force another');
      assert.match(address.why, /eth0 has the address 192\.0\.2\.1\/24/);
      assert.equal(text('refused.exit').trim(), '5');
      assert.equal(text('dry-run.exit').trim(), '5');
      const planned = documentOf<BindDocument>(text('dry-run.json'), 'bind');
      assert.deepEqual(
        planned.refused.map(({guard}) => guard),
        ['mounted'],
      );
    });

    it('binds single devices, gives their nodes to a user, and returns them', () => {
      const {changed, groups} = documentIn(seen.single);
      assert.equal(changed, true);
      assert.ok(groups.every(({viable, uid}) => viable && uid === 65534));
      const vfio = ['vfio-pci', 'vfio-pci'];
      assert.deepEqual([seen.singleBound[NIC], seen.singleBound[DISK]], [vfio, vfio]);
      assert.equal(seen.singleBound.nodes.filter((line) => line.includes(' 65534 600')).length, 2);
      assert.equal(documentIn(seen.singleBack).changed, true);
      assert.deepEqual(seen.singleAfter, seen.before);
    });

    it('binds the group behind a switch without its ports, and returns it', () => {
      const predicted = documentIn(seen.predicted);
      const bound = documentIn(seen.group);
      assert.deepEqual(predicted.steps, bound.steps);
      assert.deepEqual(
        bound.devices.filter(({outcome}) => outcome === 'changed').map(({address}) => address),
        GROUP,
      );
      assert.deepEqual(
        bound.groups.map(({viable, uid}) => [viable, uid]),
        [[true, 65534]],
      );
      assert.equal(documentIn(seen.groupBack).changed, true);
      assert.deepEqual(bindingsOf(seen.groupAfter), seen.before);
      assert.deepEqual(seen.journals, []);
    });

    it('says of drivers what driverctl and lspci say', () => {
      for (const [{driverctl, lspci}, expected] of [
        [seen.groupBound, ['vfio-pci [*]', 'vfio-pci [*]', 'vfio-pci [*]']],
        [seen.groupAfter, ['e1000e', 'xhci_hcd', 'ahci']],
      ] as const) {
        const said = GROUP.map(
          (address) => new RegExp(`^${address} (.*)$`, 'm').exec(driverctl ?? '')?.[1] ?? 'nothing',
        );
        assert.deepEqual(said, expected);
        const drivers = GROUP.map((address) => parseLspci(lspci).find(({Slot}) => Slot === address)?.Driver);
        assert.deepEqual(
          drivers,
          expected.map((word) => word.replace(' [*]', '')),
        );
      }
    });

    it('puts everything back when a driver is refused by the kernel half-way', () => {
      const held = failureIn(seen.held);
      assert.equal(held.code, 'GUARD_HELD');
      assert.match(held.why, /held by process \d+ \(perl\)/);
      const failed = failureIn(seen.rolledBack);
      assert.deepEqual([failed.exitCode, failed.errno], [9, 'EBUSY']);
      assert.match(failed.why, /Undone: .*bind 0000:04:00\.0 to vfio-pci/);
      assert.deepEqual(seen.rolledBackState, bindingsOf(seen.groupBound));
    });

    it('reports a driver that does not let go, lets nobody else near it, and recovers when it has', () => {
      const stuck = failureIn(seen.stuck);
      assert.deepEqual([stuck.code, stuck.exitCode], ['KERNEL_STUCK', 124]);
      assert.match(stuck.why, /\/vfio-pci\/unbind for 3 s.* Process \d+ waits/s);
      assert.deepEqual(
        [failureIn(seen.meanwhile).code, failureIn(seen.meanwhile).exitCode],
        ['DEVICE_BUSY', 124],
      );
      documentIn(seen.recovered);
      assert.deepEqual(seen.recoveredState, seen.before);
    });

    it('recovers the state before wherever it was killed', () => {
      const interrupted = seen.cuts.filter(({open}) => open > 0);
      for (const {change, open, recovered, state, left} of seen.cuts) {
        const about = `after change ${change}`;
        const isChanged = JSON.stringify(left) !== JSON.stringify(seen.before);
        assert.equal(documentIn(recovered).changed, open > 0 && isChanged, about);
        if (open > 0) assert.deepEqual(state, seen.before, about);
        // without a journal either nothing has begun, or all is done
        else assert.deepEqual(state, isChanged ? seen.singleBound : seen.before, about);
      }
      // after the room for its end was reserved, after the journal was written, and after it was closed
      assert.equal(seen.cuts.length - interrupted.length, 3);
      // as the machine was, three writes to each device, and the owners of two nodes
      assert.equal(new Set(interrupted.map(({left}) => JSON.stringify(left))).size, 1 + 2 * 3 + 2);
      assert.equal(seen.uncut, 0);
      assert.deepEqual(seen.atLast, seen.before);
    });

    it('runs the documented script of lab provisioning', () => {
      provisioned(text);
    });
  });
});
