import assert from 'node:assert/strict';
import {mkdirSync, writeFileSync} from 'node:fs';
import {dirname} from 'node:path';
import {CHECKS, examine, type CheckResult, type DoctorDocument} from '../../src/doctor/doctor.js';
import type {KvmAnswers} from '../../src/doctor/kvm-answers.js';
import {machineOf, type User} from '../../src/doctor/machine.js';
import {DirectoryTree} from '../../src/linux/directory-tree.js';
import {amd, intel, machine, pci, plain, type MachineSpec} from '../support/machine.js';

interface Odd extends MachineSpec {
  files?: Record<string, string>;
  user?: Partial<User>;
  kvm?: KvmAnswers | null;
  /** Nodes that do not answer as they should, by error. */
  nodes?: Record<string, string>;
}

const ROOT: User = {uid: 0, capabilities: (1n << 41n) - 1n, memlock: Infinity};
const USER: User = {uid: 1000, capabilities: 0n, memlock: 8 * 1024 * 1024};

const KVM = {opened: true, createVm: null, createDevice: null} as const;
const refused = (errno: string): KvmAnswers => ({opened: false, errno});

/** A machine where all is well: Intel with snoop control, VFIO loaded, a group bound, by root. */
const WELL: Odd = {
  units: {dmar0: intel('f050da')},
  groups: {12: [pci('0000:07:00.0', {unit: 'dmar0', driver: 'vfio-pci', vfio: ['vfio0']})]},
  tables: ['DMAR'],
  cpuFlags: 'fpu vmx',
  files: {
    'sys/class/misc/kvm/dev': '10:232\n',
    'sys/class/vfio/12/dev': '511:0\n',
    'sys/module/kvm_intel/refcnt': '0\n',
    'sys/module/vfio/refcnt': '0\n',
    'sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts': 'N\n',
    'sys/module/vfio_pci/refcnt': '0\n',
    'sys/kernel/tracing/events/kvm/kvm_exit/id': '1\n',
    'proc/interrupts':
      '  0:  34  IR-IO-APIC  2-edge  timer\n 30:  0  IR-PCI-MSIX-0000:00:02.0  0-edge  nvme0q0\n',
    'etc/os-release': 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n',
    'etc/default/grub': 'GRUB_CMDLINE_LINUX=""\n',
  },
};

const examineOdd = async (odd: Odd = {}): Promise<DoctorDocument> => {
  const spec = {...WELL, ...odd, files: {...WELL.files, ...odd.files}};
  using made = machine(spec);
  for (const [path, text] of Object.entries(spec.files)) {
    if (text === '') continue;
    mkdirSync(dirname(made.path(path)), {recursive: true});
    writeFileSync(made.path(path), text);
  }
  const examined = machineOf(new DirectoryTree(made.root), {
    user: {...ROOT, ...odd.user},
    kvm: odd.kvm === undefined ? KVM : odd.kvm,
    nodeError: (path) => odd.nodes?.[path] ?? null,
  });
  return await examine(null, examined);
};

const checkOf = async (id: string, odd: Odd = {}): Promise<CheckResult> => {
  const found = (await examineOdd(odd)).checks.find((check) => check.id === id);
  assert.ok(found);
  return found;
};

const without = (...paths: string[]): Record<string, string> =>
  Object.fromEntries(paths.map((path) => [path, '']));

/** A check, a machine, the state it must have, and what must be seen or advised. */
const TABLE: readonly (readonly [string, string, Odd, CheckResult['state'], RegExp])[] = [
  ['cpu-virtualization', 'an AMD processor', {cpuFlags: 'fpu svm'}, 'pass', /svm/],
  [
    'cpu-virtualization',
    'a back end without flags',
    {cpuFlags: 'fpu', files: {'sys/module/kvm_pvm/x': '1'}},
    'pass',
    /kvm_/,
  ],
  [
    'cpu-virtualization',
    'firmware that hides it',
    {cpuFlags: 'fpu', files: without('sys/module/kvm_intel/refcnt'), kvm: refused('ENOENT')},
    'fail',
    /firmware set-up/,
  ],
  [
    'cpu-virtualization',
    'a guest without nesting',
    {cpuFlags: 'fpu hypervisor', files: without('sys/module/kvm_intel/refcnt'), kvm: refused('ENOENT')},
    'fail',
    /nested virtualization/,
  ],
  [
    'kvm',
    'no KVM',
    {files: without('sys/class/misc/kvm/dev'), kvm: refused('ENOENT'), nodes: {'/dev/kvm': 'ENOENT'}},
    'fail',
    /modprobe kvm_/,
  ],
  [
    'kvm',
    'a container without its node',
    {kvm: refused('ENOENT'), nodes: {'/dev/kvm': 'ENOENT'}},
    'fail',
    /give the container/,
  ],
  [
    'kvm-access',
    'a user outside of the group kvm',
    {user: USER, kvm: refused('EACCES')},
    'fail',
    /usermod --append --groups kvm/,
  ],
  ['kvm-access', 'no KVM', {kvm: refused('ENOENT')}, 'unknown', /ENOENT/],
  ['kvm-access', 'no system calls', {kvm: null, nodes: {'/dev/kvm': 'EACCES'}}, 'fail', /EACCES/],
  ['kvm-access', 'a KVM that makes no VM', {kvm: {opened: true, createVm: 'EBUSY'}}, 'fail', /EBUSY/],
  ['kvm-device-control', 'an old KVM', {kvm: {...KVM, createDevice: 'ENOTTY'}}, 'fail', /3\.10/],
  [
    'kvm-device-control',
    'a KVM without kvm-vfio',
    {kvm: {...KVM, createDevice: 'ENODEV'}},
    'pass',
    /KVM_CREATE_DEVICE/,
  ],
  ['kvm-device-control', 'no permission', {kvm: refused('EACCES')}, 'unknown', /could not be asked/],
  ['kvm-vfio', 'a KVM without it', {kvm: {...KVM, createDevice: 'ENODEV'}}, 'fail', /CONFIG_KVM_VFIO/],
  ['kvm-vfio', 'a KVM that has no memory', {kvm: {...KVM, createDevice: 'ENOMEM'}}, 'unknown', /ENOMEM/],
  ['kvm-vfio', 'no permission', {kvm: refused('EACCES')}, 'unknown', /could not be asked/],
  ['iommu', 'an IOMMU', {}, 'pass', /1 group behind dmar0/],
  [
    'iommu',
    'nothing in firmware',
    {units: {}, groups: {}, tables: ['APIC']},
    'fail',
    /firmware announces no IOMMU/,
  ],
  [
    'iommu',
    'firmware that cannot be seen',
    {units: {}, groups: {}, tables: null},
    'unknown',
    /cannot be seen/,
  ],
  [
    'iommu',
    'an IOMMU that is off, on Debian',
    {units: {}, groups: {}, commandLine: 'ro intel_iommu=off'},
    'fail',
    /remove intel_iommu=off from GRUB_CMDLINE_LINUX in \/etc\/default\/grub, run update-grub/,
  ],
  [
    'iommu',
    'an IOMMU that waits to be asked, on Fedora',
    {
      units: {},
      groups: {},
      config: 'CONFIG_INTEL_IOMMU=y\n',
      files: {'etc/os-release': 'ID=fedora\n'},
    },
    'fail',
    /grubby --update-kernel=ALL --args=intel_iommu=on/,
  ],
  ['interrupt-remapping', 'remapped interrupts', {}, 'pass', /IR-IO-APIC/],
  [
    'interrupt-remapping',
    'interrupts that are not remapped',
    {files: {'proc/interrupts': '  0:  34  IO-APIC  2-edge  timer\n 30: 0 DMAR-MSI 0-edge dmar0\n'}},
    'fail',
    /allow_unsafe_interrupts/,
  ],
  [
    'interrupt-remapping',
    'the unsafe switch',
    {
      files: {
        'proc/interrupts': '  0:  34  IO-APIC  2-edge  timer\n',
        'sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts': 'Y\n',
      },
    },
    'pass',
    /is Y/,
  ],
  [
    'interrupt-remapping',
    'Arm',
    {files: {'proc/interrupts': ' 30: 0 ITS-PCI-MSI-0000:00:02.0 0 Edge\n'}},
    'pass',
    /GIC ITS/,
  ],
  [
    'interrupt-remapping',
    'unreadable interrupts',
    {files: without('proc/interrupts')},
    'unknown',
    /cannot be read/,
  ],
  [
    'interrupt-remapping',
    'no IOMMU',
    {units: {}, groups: {}, files: {'proc/interrupts': '  0:  34  IO-APIC  2-edge  timer\n'}},
    'unknown',
    /without an IOMMU/,
  ],
  ['snoop-control', 'a unit that can', {}, 'pass', /dmar0 can/],
  [
    'snoop-control',
    'two units that differ',
    {units: {dmar0: intel('29a00f0505e'), dmar1: intel('f050da')}},
    'fail',
    /dmar0 cannot, and dmar1 can/,
  ],
  [
    'snoop-control',
    'a driver that nobody knows',
    {units: {mystery0: plain('mystery')}},
    'unknown',
    /cannot be told/,
  ],
  [
    'vfio-modules',
    'modules that can be loaded',
    {
      files: {
        ...without('sys/module/vfio_pci/refcnt'),
        'lib/modules/6.12.107-1-amd64/modules.dep':
          'kernel/drivers/vfio/pci/vfio-pci.ko.xz: kernel/vfio.ko\n',
      },
    },
    'pass',
    /vfio_pci can be loaded/,
  ],
  [
    'vfio-modules',
    'a kernel of a cloud image',
    {
      files: {
        ...without('sys/module/vfio_pci/refcnt', 'sys/module/vfio/refcnt'),
        'lib/modules/6.12.107-1-amd64/modules.dep': 'kernel/drivers/net/veth.ko.xz:\n',
      },
    },
    'fail',
    /named "cloud" leave drivers out/,
  ],
  [
    'vfio-modules',
    'no modules at all',
    {files: without('sys/module/vfio_pci/refcnt')},
    'fail',
    /has no modules of this kernel/,
  ],
  ['vfio-nodes', 'nodes that open', {}, 'pass', /\/dev\/vfio\/12 and/],
  [
    'vfio-nodes',
    "root's node",
    {user: USER, nodes: {'/dev/vfio/12': 'EACCES'}},
    'fail',
    /chown YOUR-NAME \/dev\/vfio\/12/,
  ],
  ['vfio-nodes', 'a container', {nodes: {'/dev/vfio/12': 'ENOENT'}}, 'fail', /give the container/],
  ['vfio-nodes', 'nothing bound', {files: without('sys/class/vfio/12/dev')}, 'unknown', /no group is bound/],
  ['vfio-cdev', 'a kernel without', {config: 'CONFIG_VFIO=m\n'}, 'fail', /has no CONFIG_VFIO_DEVICE_CDEV/],
  [
    'vfio-cdev',
    'a kernel with',
    {files: {'sys/devices/pci0000:07/0000:07:00.0/vfio-dev/vfio0/dev': '510:0\n'}},
    'pass',
    /are there/,
  ],
  ['memlock', 'the limit of an ordinary user', {user: USER}, 'fail', /limit is 8 MiB/],
  ['memlock', 'a user with a limit that is high', {user: {...USER, memlock: 2 ** 35}}, 'pass', /32768 MiB/],
  [
    'ptrace',
    'a user where Yama restricts',
    {user: USER, files: {'proc/sys/kernel/yama/ptrace_scope': '1\n'}},
    'fail',
    /ptrace_scope is 1, and you lack/,
  ],
  ['ptrace', 'a user without Yama', {user: USER}, 'pass', /your own VMMs/],
  ['ptrace', 'root where nobody may', {files: {'proc/sys/kernel/yama/ptrace_scope': '3\n'}}, 'fail', /agent/],
  [
    'tracefs',
    'no tracing for users',
    {user: USER, files: without('sys/kernel/tracing/events/kvm/kvm_exit/id')},
    'fail',
    /may not read/,
  ],
  [
    'tracefs',
    'no tracing for root',
    {files: without('sys/kernel/tracing/events/kvm/kvm_exit/id')},
    'fail',
    /mount -t tracefs/,
  ],
  ['trap-release-on-close', 'Linux 6.12', {}, 'pass', /6\.12/],
  [
    'trap-release-on-close',
    "Debian's 6.1",
    {
      release: '6.1.0-56-amd64',
      files: {'proc/version': 'Linux version 6.1.0-56-amd64 (gcc-12) #1 SMP Debian 6.1.192-2 (2026-01-01)\n'},
    },
    'pass',
    /6\.1\.192/,
  ],
  [
    'trap-release-on-close',
    'a 6.1 that does not say',
    {release: '6.1.0-1-generic'},
    'unknown',
    /may be older/,
  ],
  ['trap-release-on-close', 'Linux 5.15', {release: '5.15.0-1-amd64'}, 'fail', /5\.15/],
  ['trap-coherency-rule', 'Linux 6.1', {release: '6.1.0-56-amd64'}, 'fail', /asks the container/],
  ['trap-coherency-rule', 'Linux 5.10', {release: '5.10.0-30-amd64'}, 'fail', /all units/],
  ['trap-refused-delete', 'Linux 6.12', {}, 'pass', /6\.12/],
  ['trap-refused-delete', 'Linux 6.18', {release: '6.18.44'}, 'unknown', /between/],
  ['trap-refused-delete', 'Linux 7.3', {release: '7.3.4'}, 'fail', /7\.3/],
  [
    'trap-amd-page-tables',
    'version 2 page tables',
    {units: {ivhd0: amd()}, commandLine: 'amd_iommu=pgtbl_v2'},
    'fail',
    /pgtbl_v2/,
  ],
  ['trap-amd-page-tables', 'version 1 page tables', {units: {ivhd0: amd()}}, 'pass', /version 1/],
  [
    'trap-acs-override',
    'a patched kernel',
    {commandLine: 'pcie_acs_override=downstream'},
    'fail',
    /remove pcie_acs_override=downstream/,
  ],
  [
    'trap-graphics-unit',
    'graphics that is left out',
    {
      ungrouped: [pci('0000:00:02.0', {vendor: '8086', classCode: '030000', driver: 'i915'})],
      commandLine: 'intel_iommu=igfx_off',
    },
    'fail',
    /remove intel_iommu=igfx_off/,
  ],
];

describe('examining a machine', () => {
  it('finds nothing wrong where all is well', async () => {
    const {checks, ready, failed} = await examineOdd();
    const odd = checks.filter(({state}) => state !== 'pass').map(({id}) => id);
    assert.deepEqual(odd, ['vfio-cdev'], 'which this kernel is not built with');
    assert.deepEqual([ready, failed], [true, 0]);
  });

  for (const [id, what, odd, state, text] of TABLE) {
    it(`${id}: ${what} is ${state === 'unknown' ? 'undecided' : state}`, async () => {
      const check = await checkOf(id, odd);
      assert.equal(check.state, state, check.seen);
      assert.match(`${check.seen}; ${check.remedy ?? ''}`, text);
      if (state === 'fail') assert.ok(check.remedy, 'what fails has a remedy');
      for (const sentence of [check.seen, check.matters, check.remedy ?? ''])
        assert.doesNotMatch(sentence, /\.$/, 'the text adds the full stop');
    });
  }

  it('has each check in that table that can go wrong', () => {
    const tested = new Set(TABLE.map(([id]) => id));
    assert.deepEqual(
      CHECKS.map(({id}) => id).filter((id) => !tested.has(id)),
      [],
    );
  });

  it('needs for each purpose what is told', async () => {
    const odd = {units: {}, groups: {}, tables: [], user: USER, kvm: refused('EACCES')};
    const {checks, failed, ready} = await examineOdd(odd);
    const failing = checks.filter(({state, needed}) => needed && state === 'fail').map(({id}) => id);
    assert.deepEqual(failing, ['kvm-access', 'iommu', 'memlock']);
    assert.deepEqual([failed, ready], [3, false]);
  });
});
