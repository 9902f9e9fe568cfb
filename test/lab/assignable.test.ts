import assert from 'node:assert/strict';
import {existsSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import type {GroupsDocument, ListedGroup} from '../../src/groups/groups-document.js';
import type {LabIommu} from '../../src/lab/iommu-choice.js';
import type {LabOptions} from '../../src/lab/lab.js';
import {guestProgram} from '../support/guest-program.js';
import {lab} from '../support/lab.js';
import {PROJECT} from '../support/run.js';
import {skip} from '../support/skip.js';
import {scratch} from '../vm/vmm.js';
import type {Answers, GroupAnswer} from './assignable-in-lab.js';
import {FRAMEBUFFER, NVME, REGION, SHARED_VFS} from './odd-guests.js';

const IOMMUFD_KERNEL =
  process.env['KVFIO_IOMMUFD_KERNEL'] ?? join(PROJECT, '../shared/lab/linux-6.12-iommufd.bzImage');

interface GuestSpec {
  kernel: string;
  iommu: LabIommu;
  /** What is odd about it. */
  with?: string;
  options?: Pick<LabOptions, 'parameters' | 'pci' | 'tables'>;
  /** What makes a group that VFIO has, and one that drivers are in the way of. */
  prepare?: string;
  /** Whether a VM can have a group there that is bound as a whole, and by which check not; null where there are no groups. */
  bound: ListedGroup['assignable']['verdict'] | null;
  because?: string;
  /** Whether a group is there that drivers are in the way of, and one that VFIO does not have. */
  others?: false;
  /** It adds to the pairs of kernels and IOMMUs, and no case of its own: KVFIO_TEST_LONG=1 has it run. */
  long?: true;
}

type Odd = Omit<GuestSpec, 'kernel' | 'iommu'>;

/** Binds the NIC behind the switch. */
const BEHIND_SWITCH = `
group=$(kvfio groups --driver xhci_hcd --columns group --no-header)
nic=$(kvfio groups --group $group --driver e1000e --columns address --no-header)
kvfio bind --device $nic
`;

const UNSAFE: Odd = {
  with: 'interrupts that are not remapped',
  options: {parameters: ['intremap=off']},
  bound: 'no',
  because: 'interrupts',
};

const WITH_REGION: Odd = {...REGION, bound: 'no', because: 'direct-region'};

const WITH_FRAMEBUFFER: Omit<Odd, 'bound'> = {
  ...FRAMEBUFFER,
  prepare: `grep -w vesafb /proc/iomem >&2\n${FRAMEBUFFER.prepare}`,
  others: false,
};

const WITH_VFS: Odd = {...SHARED_VFS, bound: 'no', because: 'physical-function', others: false};

/** The same where each function has a group, and VFIO has them all: who uses one has to show a token. */
const TOKENS: Odd = {
  with: 'VFIO on both sides of SR-IOV',
  options: {
    pci: ['pcie-root-port,id=p,bus=pcie.0,addr=0x3,chassis=1,slot=1', 'nvme-subsys,id=sub', `${NVME},bus=p`],
  },
  prepare: `
kvfio bind --device 0000:01:00.0
echo Y > /sys/module/vfio_pci/parameters/enable_sriov
echo 2 > /sys/bus/pci/devices/0000:01:00.0/sriov_numvfs
`,
  bound: 'unknown',
  because: 'vf-token',
  others: false,
};

/** The kernel with IOMMUFD has drivers of few devices. */
const NO_DRIVERS = {prepare: '', others: false} as const;

const NO_GROUPS = {prepare: '', bound: null, long: true} as const;

/**
 * The guests. Debian's 5.10 and 6.1 have no driver for virtio-iommu, so no groups with it; 7.3 finds no interrupt remapping in QEMU's
 * amd-iommu, and the lab allows VFIO to do without.
 */
const GUESTS: readonly GuestSpec[] = [
  {kernel: '5.10', iommu: 'intel', bound: 'yes'},
  {kernel: '5.10', iommu: 'intel', ...WITH_REGION},
  {kernel: '5.10', iommu: 'intel', ...WITH_FRAMEBUFFER, bound: 'no', because: 'framebuffer'},
  {kernel: '6.1', iommu: 'intel', bound: 'yes'},
  {kernel: '6.1', iommu: 'intel', ...UNSAFE},
  {kernel: '6.1', iommu: 'intel', ...WITH_REGION},
  {kernel: '6.1', iommu: 'amd', bound: 'yes'},
  {kernel: '6.12', iommu: 'intel', bound: 'yes'},
  {kernel: '6.12', iommu: 'intel', ...UNSAFE},
  {kernel: '6.12', iommu: 'intel', ...WITH_REGION},
  {kernel: '6.12', iommu: 'intel', ...WITH_FRAMEBUFFER, bound: 'yes'},
  {kernel: '6.12', iommu: 'intel', ...WITH_VFS},
  {kernel: '6.12', iommu: 'intel', ...TOKENS},
  {kernel: '6.12', iommu: 'amd', bound: 'yes'},
  {kernel: '6.12', iommu: 'virtio', bound: 'yes'},
  {kernel: '7.3', iommu: 'intel', bound: 'yes'},
  {kernel: '7.3', iommu: 'amd', bound: 'yes'},
  {kernel: IOMMUFD_KERNEL, iommu: 'intel', bound: 'yes', ...NO_DRIVERS},
  {kernel: IOMMUFD_KERNEL, iommu: 'intel', ...UNSAFE, ...NO_DRIVERS},
  {kernel: IOMMUFD_KERNEL, iommu: 'intel', ...WITH_REGION, ...NO_DRIVERS},
  {kernel: '5.10', iommu: 'intel-snoop', bound: 'yes', long: true},
  {kernel: '5.10', iommu: 'amd', bound: 'yes', long: true},
  {kernel: '5.10', iommu: 'virtio', ...NO_GROUPS},
  {kernel: '5.10', iommu: 'none', ...NO_GROUPS},
  {kernel: '6.1', iommu: 'intel-snoop', bound: 'yes', long: true},
  {kernel: '6.1', iommu: 'virtio', ...NO_GROUPS},
  {kernel: '6.1', iommu: 'none', ...NO_GROUPS},
  {kernel: '6.12', iommu: 'intel-snoop', bound: 'yes', long: true},
  {kernel: '6.12', iommu: 'none', ...NO_GROUPS},
  {kernel: '7.3', iommu: 'intel-snoop', bound: 'yes', long: true},
  {kernel: '7.3', iommu: 'virtio', bound: 'yes', long: true},
  {kernel: '7.3', iommu: 'none', ...NO_GROUPS},
  {kernel: IOMMUFD_KERNEL, iommu: 'intel-snoop', bound: 'yes', long: true, ...NO_DRIVERS},
  {kernel: IOMMUFD_KERNEL, iommu: 'amd', bound: 'yes', long: true, ...NO_DRIVERS},
  {kernel: IOMMUFD_KERNEL, iommu: 'virtio', bound: 'yes', long: true, ...NO_DRIVERS},
  {kernel: IOMMUFD_KERNEL, iommu: 'none', ...NO_GROUPS},
];

const observe = (program: string, prepare: string): string => `
set -e
${prepare}
kvfio groups --json > $KVFIO_LAB_OUT/groups.json
node "$KVFIO_LAB_OUT/${program}" > $KVFIO_LAB_OUT/answers.json
`;

/** The calls that are made of a group; binding is another matter. */
const CALLS = ['open', 'VFIO_GROUP_SET_CONTAINER', 'VFIO_SET_IOMMU', 'VFIO_GROUP_GET_DEVICE_FD', 'mmap'];

const byGroup = (a: GroupAnswer, b: GroupAnswer): number => a.group - b.group;

const LONG = process.env['KVFIO_TEST_LONG'] !== undefined;

if (!LONG)
  it(`whether a VM can have a group, on ${GUESTS.filter(({long}) => long).length} more pairs of a kernel and an IOMMU`, function () {
    skip(this, 'no check of the kernel shows there alone: KVFIO_TEST_LONG=1 has it run');
  });

for (const spec of GUESTS.filter(({long}) => LONG || !long)) {
  const {kernel, iommu, options = {}, prepare = BEHIND_SWITCH, bound, because} = spec;
  const system = kernel === IOMMUFD_KERNEL ? '6.12 with IOMMUFD' : kernel;
  const odd = spec.with === undefined ? '' : `, with ${spec.with}`;
  describe(`whether a VM can have a group, on Linux ${system} with IOMMU ${iommu}${odd}`, () => {
    let groups: ListedGroup[];
    let answers: Answers;

    before(async function () {
      if (kernel === IOMMUFD_KERNEL && !existsSync(kernel))
        skip(this, `there is no kernel with IOMMUFD at ${kernel}`);
      this.timeout(600_000);
      using folder = scratch();
      const program = guestProgram(folder.path('.'), 'lab/assignable-in-lab.ts');
      const {exitCode, stderr} = await lab(this, {
        kernel,
        iommu,
        ...options,
        out: folder.path('.'),
        task: {script: observe(program, prepare)},
      });
      assert.equal(exitCode, 0, stderr.toString());
      const read = (name: string): unknown => JSON.parse(readFileSync(folder.path(name), 'utf8')) as unknown;
      ({groups} = read('groups.json') as GroupsDocument);
      answers = read('answers.json') as Answers;
    });

    it('is as the kernel answers, by the call and the errno of the first obstacle, and so is the coherency', () => {
      const predicted = groups.map(({id, viable, snoopControl, assignable: {verdict, obstacles}}) => {
        // what is not certain is refused here, where nobody knows a token
        const first = obstacles.find(
          ({call, certain}) => (certain || verdict === 'unknown') && CALLS.includes(call),
        );
        return {
          group: id,
          possible: verdict === 'yes',
          viable: first?.call === 'open' ? null : viable,
          refused: first === undefined ? null : {call: first.call, errno: first.errno},
          coherent: verdict === 'yes' ? snoopControl.verdict === 'enforced' : null,
        };
      });
      const seen = answers.groups.map((answer) => ({possible: answer.refused === null, ...answer}));
      assert.deepEqual(predicted, seen.sort(byGroup));
    });

    it('is as the kernel answers VFIO_DEVICE_BIND_IOMMUFD, where devices have nodes of their own', () => {
      assert.equal(answers.cdevs.length > 0, kernel === IOMMUFD_KERNEL && bound !== null);
      assert.deepEqual(
        answers.cdevs.map(({address, predicted}) => [address, predicted]),
        answers.cdevs.map(({address, refused}) => [address, refused]),
      );
    });

    it('is shown by a group that VFIO has whole, and by what stands in its way', () => {
      assert.equal(groups.length > 0, bound !== null);
      if (bound === null) return;
      const whole = groups.filter(
        ({devices, assignable: {obstacles}}) =>
          devices.some(({boundToVfio}) => boundToVfio) &&
          (because === undefined ? obstacles.length === 0 : obstacles.some(({check}) => check === because)),
      );
      assert.deepEqual([...new Set(whole.map(({assignable: {verdict}}) => verdict))], [bound]);
      if (spec.others === false) return;
      const verdictOf = (...checks: string[]): string | undefined =>
        groups.find(({assignable: {obstacles}}) =>
          checks.every((check) => obstacles.some((obstacle) => obstacle.check === check)),
        )?.assignable.verdict;
      assert.equal(verdictOf('drivers'), 'no');
      assert.equal(verdictOf('bound', 'drivers'), 'no');
    });
  });
}
