import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import type {CheckState, Purpose} from '../../src/doctor/check.js';
import type {DoctorDocument} from '../../src/doctor/doctor.js';
import type {VmsDocument} from '../../src/kvm-vfio/vms.js';
import {lab} from '../support/lab.js';
import {scratch} from '../vm/vmm.js';

/** In the guest: what doctor says of a state for some purposes, and its exit codes. */
const EXAMINE = `
out=$KVFIO_LAB_OUT
examine() {
  state=$1; shift
  for purpose; do
    kvfio doctor --for $purpose --json > $out/$state-$purpose.json
    echo $? > $out/$state-$purpose.exit
  done
}
`;

/** What is needed for a purpose and fails. */
type Failing = Partial<Record<Purpose, string[]>>;

describe('doctor and vms in the lab', function () {
  this.timeout(900_000);

  const reader = (folder: ReturnType<typeof scratch>) => {
    const text = (name: string): string => readFileSync(folder.path(name), 'utf8');
    const document = (name: string): DoctorDocument => JSON.parse(text(`${name}.json`)) as DoctorDocument;
    return {
      text,
      /** Fails unless exactly these checks fail, and the exit codes say so. */
      expect: (state: string, expected: Failing): void => {
        for (const [purpose, ids] of Object.entries(expected)) {
          const {checks} = document(`${state}-${purpose}`);
          const failing = checks.filter((check) => check.needed && check.state === 'fail');
          assert.deepEqual(
            failing.map(({id}) => id),
            ids,
            `${state}, for ${purpose}: ${JSON.stringify(failing, null, 1)}`,
          );
          assert.equal(
            Number(text(`${state}-${purpose}.exit`)),
            ids.length > 0 ? 7 : 0,
            `${state}, ${purpose}`,
          );
          for (const {remedy} of failing) assert.ok(remedy, 'what fails has a remedy');
        }
      },
      stateOf: (state: string, id: string): CheckState | undefined =>
        document(`${state}-passthrough`).checks.find((check) => check.id === id)?.state,
      seen: (state: string, id: string): string | undefined =>
        document(`${state}-passthrough`).checks.find((check) => check.id === id)?.seen,
    };
  };

  it('finds exactly what is missing when it is taken away piece by piece, and the VMs before', async function () {
    using folder = scratch();
    const {exitCode, stderr} = await lab(this, {
      kernel: '6.12',
      iommu: 'intel',
      out: folder.path('.'),
      task: {
        script: `${EXAMINE}
examine whole attach probe passthrough
kvfio vm --sock /tmp/vm.sock > /dev/null & vm=$!
kvfio vm --sock /tmp/other.sock --guest wbinvd > /dev/null & other=$!
until [ -S /tmp/vm.sock ] && [ -S /tmp/other.sock ]; do sleep 0.2; done
group=$(ls /dev/vfio | grep -v '^vfio$')
kvfio attach --vm-sock /tmp/vm.sock --group $group > /dev/null
kvfio vms --json > $out/vms.json
echo $vm $other $group > $out/ids
kill $vm $other; wait $vm $other

# an ordinary user
as_nobody() { setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all "$@"; }
(ulimit -l 64; for purpose in attach probe passthrough; do
  as_nobody kvfio doctor --for $purpose --json > $out/nobody-$purpose.json
  echo $? > $out/nobody-$purpose.exit
done)

# no VFIO: first unloaded, then without modules
for device in /sys/bus/pci/drivers/vfio-pci/0000:*; do
  echo > $device/driver_override; echo \${device##*/} > /sys/bus/pci/drivers/vfio-pci/unbind
done
rmmod vfio_pci vfio_pci_core vfio_iommu_type1 vfio || cat /proc/modules >&2
examine unloaded passthrough
mount -t tmpfs tmpfs /lib/modules
examine without-vfio attach
umount /lib/modules

rmmod kvm_amd
examine without-kvm passthrough
`,
      },
    });
    assert.equal(exitCode, 0, stderr.toString());
    const {expect, stateOf, seen, text} = reader(folder);
    expect('whole', {attach: [], probe: [], passthrough: []});
    assert.match(seen('whole', 'interrupt-remapping') ?? '', /IR-/);
    assert.equal(stateOf('whole', 'snoop-control'), 'fail', 'the unit of this guest has none');
    expect('nobody', {
      attach: ['vfio-nodes'],
      probe: ['kvm-access'],
      passthrough: ['kvm-access', 'vfio-nodes', 'memlock'],
    });
    expect('unloaded', {passthrough: []});
    expect('without-vfio', {attach: ['vfio-modules']});
    expect('without-kvm', {passthrough: ['kvm']});
    assert.equal(stateOf('without-kvm', 'kvm-vfio'), 'unknown', 'there is no KVM to ask');

    const [vm = NaN, other = NaN, group = NaN] = text('ids').split(' ').map(Number);
    const {vms} = JSON.parse(text('vms.json')) as VmsDocument;
    const about = vms.map((each) => [
      each.pid,
      each.proven,
      each.vcpus,
      each.device.all.length,
      each.groups.map((file) => [file.group, file.verdict]),
      each.coherency.state,
      each.coherency.assumes,
    ]);
    assert.deepEqual(
      about,
      [
        [vm, true, 0, 1, [[group, 'not-enforced']], 'non-coherent', 'all-held'],
        [other, true, 1, 0, [], 'coherent', 'nothing'],
      ].sort(([a], [b]) => Number(a) - Number(b)),
    );
  });

  it('finds nothing missing on Linux 6.1, whose KVM does not report that it makes devices', async function () {
    using folder = scratch();
    const {exitCode, stderr} = await lab(this, {
      kernel: '6.1',
      iommu: 'intel',
      out: folder.path('.'),
      task: {script: `${EXAMINE}examine whole attach passthrough`},
    });
    assert.equal(exitCode, 0, stderr.toString());
    reader(folder).expect('whole', {attach: [], passthrough: []});
  });

  for (const [state, options, failing, seen] of [
    ['no IOMMU', {iommu: 'none'}, ['iommu'], /hypervisor gives it no IOMMU/],
    ['an IOMMU that is off', {parameters: ['intel_iommu=off']}, ['iommu'], /says intel_iommu=off/],
    [
      'an IOMMU that does not remap interrupts',
      {parameters: ['intremap=off']},
      ['interrupt-remapping', 'assignable'],
      /^nothing remaps interrupts: /,
    ],
  ] as const) {
    it(`finds ${state}`, async function () {
      using folder = scratch();
      const {exitCode, stderr} = await lab(this, {
        kernel: '6.12',
        ...options,
        out: folder.path('.'),
        task: {script: `${EXAMINE}examine odd passthrough`},
      });
      assert.equal(exitCode, 0, stderr.toString());
      const found = reader(folder);
      found.expect('odd', {passthrough: [...failing]});
      assert.match(found.seen('odd', failing[0]) ?? '', seen);
    });
  }
});
