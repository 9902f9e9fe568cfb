import assert from 'node:assert/strict';
import {existsSync, readdirSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import type {Context} from 'mocha';
import type {DoctorDocument} from '../../src/doctor/doctor.js';
import {guestProgram} from '../support/guest-program.js';
import {lab} from '../support/lab.js';
import {needs} from '../support/needs.js';
import {PROJECT} from '../support/run.js';
import {skip} from '../support/skip.js';
import {scratch} from '../vm/vmm.js';
import {FRAMEBUFFER, REGION, SHARED_VFS, type OddGuest} from './odd-guests.js';
import {BEYOND_THE_LAB, treatmentOf, type Cured, type CuredGuest} from './cures.js';

/** A kernel with IOMMUFD, which the distribution's have not. */
const IOMMUFD =
  process.env['KVFIO_IOMMUFD_KERNEL'] ?? join(PROJECT, '../shared/lab/linux-6.12-iommufd.bzImage');

interface Guest extends Pick<CuredGuest, 'kernel' | 'iommu'> {
  parameters?: string[];
  all?: true;
  /** What keeps VMs from a device there, which is all that is cured then. */
  odd?: Pick<OddGuest, 'with' | 'options'> & {prepare?: string};
}

/** The kernels and IOMMUs of the lab, and what command lines do to them; `all` are put into every bad state that there is. */
const GUESTS: readonly Guest[] = [
  {kernel: '5.10', iommu: 'intel', all: true},
  {kernel: '5.10', iommu: 'intel-snoop', parameters: ['intremap=off']},
  {kernel: '6.1', iommu: 'virtio'},
  {kernel: '6.1', iommu: 'amd', parameters: ['amd_iommu=off']},
  {kernel: '6.12', iommu: 'intel', parameters: ['intel_iommu=off', 'module_blacklist=kvm_amd,vfio_pci']},
  {kernel: '6.12', iommu: 'intel-snoop', parameters: ['initcall_blacklist=svm_init', 'nointremap']},
  {kernel: '6.12', iommu: 'amd', parameters: ['amd_iommu=pgtbl_v2']},
  {kernel: '6.12', iommu: 'virtio', parameters: ['modprobe.blacklist=kvm_amd']},
  {kernel: '6.12', iommu: 'none', all: true},
  {kernel: '7.3', iommu: 'intel', parameters: ['iommu=off']},
  {kernel: '7.3', iommu: 'amd', all: true},
  {kernel: 'iommufd', iommu: 'intel', parameters: ['intremap=off']},
  {kernel: 'iommufd', iommu: 'virtio', all: true},
  {kernel: '5.10', iommu: 'intel', odd: FRAMEBUFFER},
  {kernel: '6.12', iommu: 'intel', odd: REGION},
  {kernel: '6.12', iommu: 'intel', odd: SHARED_VFS},
];

const described = ({kernel, iommu, parameters = [], pci = [], with: odd = ''}: Partial<CuredGuest>): string =>
  [kernel, iommu, ...parameters, ...pci, odd].filter(Boolean).join(' ');

const optionsOf = ({kernel, iommu, parameters, pci, tables = {}}: CuredGuest) => ({
  kernel: kernel === 'iommufd' ? IOMMUFD : kernel,
  iommu,
  parameters,
  pci: [...pci],
  tables,
});

/** What doctor says in a guest that is left as it is; guests that several cures lead to are booted once. */
const examined = new Map<string, Promise<DoctorDocument>>();

const examine = (context: Context, guest: CuredGuest, prepare: string): Promise<DoctorDocument> => {
  const known = examined.get(`${described(guest)}${prepare}`);
  if (known !== undefined) return known;
  const script = `{ set -e\n${prepare}\n} >&2\nexec kvfio doctor --json`;
  const looking = lab(context, {...optionsOf(guest), task: {script}}).then(({stdout, stderr}) => {
    assert.ok(stdout.length > 0, stderr.toString());
    return JSON.parse(stdout.toString()) as DoctorDocument;
  });
  examined.set(`${described(guest)}${prepare}`, looking);
  return looking;
};

describe('cures that no lab can do', () => {
  const sources = ['src/doctor', 'src/host', 'src/iommu', 'src/vfio/eligibility'].flatMap((folder) =>
    (readdirSync(join(PROJECT, folder), {recursive: true}) as string[])
      .filter((name) => name.endsWith('.ts'))
      .map((name) => readFileSync(join(PROJECT, folder, name), 'utf8')),
  );
  for (const [cure, because] of Object.entries(BEYOND_THE_LAB))
    it(`are still printed, and in no row of those that are done: "${cure}" (${because})`, () => {
      assert.ok(sources.some((text) => text.includes(cure)));
      assert.throws(() => treatmentOf('none', cure));
    });
});

describe('each cure that doctor prints in the lab, done as it says, makes its check pass', function () {
  this.timeout(1_800_000);

  before(function () {
    needs(this, 'lab');
    if (process.env['KVFIO_TEST_LONG'] === undefined)
      skip(this, 'it boots two dozen guests, for up to an hour: KVFIO_TEST_LONG=1 has it run');
  });

  for (const {kernel, iommu, parameters = [], all = false, odd} of GUESTS) {
    const {options = {}, prepare = ''} = odd ?? {};
    const guest: CuredGuest = {
      kernel,
      iommu,
      parameters: [...(options.parameters ?? []), ...parameters],
      pci: options.pci ?? [],
      tables: options.tables ?? {},
      with: odd?.with ?? '',
    };
    it(`on ${described(guest)}`, async function () {
      if (guest.kernel === 'iommufd' && !existsSync(IOMMUFD))
        skip(this, `there is no kernel with IOMMUFD at ${IOMMUFD}`);
      using folder = scratch();
      const program = guestProgram(folder.path('.'), 'lab/cures-in-lab.ts');
      const {exitCode, stdout, stderr} = await lab(this, {
        ...optionsOf(guest),
        out: folder.path('.'),
        task: {
          script: `{ set -e\n${prepare}\n} >&2\nexec node "$KVFIO_LAB_OUT/${program}" ${all ? 'all' : 'one'} ${odd === undefined ? '' : "'^(assignable|log-)'"}`,
        },
      });
      assert.equal(exitCode, 0, stderr.toString());
      const cured = JSON.parse(stdout.toString()) as Cured[];
      assert.ok(cured.length > 0, 'something had to be cured');
      for (const {state, check, remedies, treatment, after} of cured) {
        const what = `${state}: ${check}: ${remedies.join('; ')}`;
        if (treatment !== 'boot' && treatment !== 'cannot') assert.equal(after, 'pass', what);
        const last = treatmentOf(check, remedies.at(-1) ?? '');
        if (last.kind !== 'boot') continue;
        const next = {...guest, ...last.change(guest)};
        if (next.kernel === 'iommufd' && !existsSync(IOMMUFD)) continue;
        const {checks} = await examine(this, next, prepare);
        assert.equal(
          checks.find(({id}) => id === check)?.state ?? 'pass',
          'pass',
          `${what}, booted with ${described(next)}`,
        );
      }
    });
  }
});
