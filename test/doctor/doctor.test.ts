import assert from 'node:assert/strict';
import {Chalk} from 'chalk';
import {mkdirSync, writeFileSync} from 'node:fs';
import {dirname} from 'node:path';
import type {Purpose} from '../../src/doctor/check.js';
import {doctorLines} from '../../src/cli/answers/doctor-text.js';
import {CHECKS, diagnose, type CheckResult, type DoctorDocument} from '../../src/doctor/doctor.js';
import type {KvmAnswers} from '../../src/doctor/kvm-answers.js';
import {machineOf, type Live, type NodeAccess, type User} from '../../src/doctor/machine.js';
import {DirectoryTree} from '../../src/host/directory-tree.js';
import {amd, intel, machine, other, pci, plain, port, type MachineSpec} from '../support/machine.js';

interface Odd extends MachineSpec {
  files?: Record<string, string>;
  user?: Partial<User>;
  kvm?: KvmAnswers | null;
  /** Nodes that do not answer as they should, by error. */
  nodes?: Record<string, string>;
  owner?: NodeAccess;
  log?: string[];
  /** Null: there are only files. */
  live?: null;
  purpose?: Purpose;
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
    'lib/modules/6.12.107-1-amd64/modules.dep':
      'kernel/arch/x86/kvm/kvm-intel.ko.xz:\nkernel/arch/x86/kvm/kvm-amd.ko.xz:\n',
    'sys/class/vfio/12/dev': '511:0\n',
    'sys/module/kvm_intel/refcnt': '0\n',
    'sys/module/vfio/refcnt': '0\n',
    'sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts': 'N\n',
    'sys/module/vfio_iommu_type1/refcnt': '0\n',
    'sys/module/vfio_pci/refcnt': '0\n',
    'sys/kernel/tracing/events/kvm/kvm_exit/id': '1\n',
    'proc/devices': 'Character devices:\n 10 misc\n250 vfio\n251 vfio-dev\n',
    'proc/interrupts':
      '  0:  34  IR-IO-APIC  2-edge  timer\n 30:  0  IR-PCI-MSIX-0000:00:02.0  0-edge  nvme0q0\n',
    'etc/os-release': 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n',
    'etc/default/grub': 'GRUB_CMDLINE_LINUX=""\n',
  },
};

const examineOdd = (odd: Odd = {}): DoctorDocument => {
  const spec = {...WELL, ...odd, files: {...WELL.files, ...odd.files}};
  using made = machine(spec);
  for (const [path, text] of Object.entries(spec.files)) {
    if (text === '') continue;
    mkdirSync(dirname(made.path(path)), {recursive: true});
    writeFileSync(made.path(path), text);
  }
  const live: Live = {
    user: {...ROOT, ...odd.user},
    kvm: odd.kvm === undefined ? KVM : odd.kvm,
    nodeError: (path) => odd.nodes?.[path] ?? null,
    nodeOwner: () => odd.owner ?? null,
  };
  const tree = new DirectoryTree(made.root);
  return diagnose(odd.purpose ?? null, machineOf(tree, odd.live === null ? null : live, odd.log));
};

const checkOf = (id: string, odd: Odd = {}): CheckResult => {
  const found = examineOdd(odd).checks.find((check) => check.id === id);
  assert.ok(found);
  return found;
};

const without = (...paths: string[]): Record<string, string> =>
  Object.fromEntries(paths.map((path) => [path, '']));

/** Nothing runs KVM: no class device, no back end, no node. */
const NO_KVM = {
  files: without('sys/class/misc/kvm/dev', 'sys/module/kvm_intel/refcnt'),
  kvm: refused('ENOENT'),
  nodes: {'/dev/kvm': 'ENOENT'},
} as const satisfies Odd;

/** The kernel has KVM, and /dev has no node. */
const NO_NODE = {kvm: refused('ENOENT'), nodes: {'/dev/kvm': 'ENOENT'}} as const satisfies Odd;

/** A node as udev makes it, which the user may not open. */
const KVM_NODE = {
  nodes: {'/dev/kvm': 'EACCES'},
  owner: {uid: 0, gid: 106, mode: 0o20660},
  files: {'etc/group': 'kvm:x:106:bob\n', 'etc/passwd': 'alice:x:1000:1000::/:/bin/sh\n'},
} as const satisfies Odd;

/** No device is bound to VFIO, and neither is its driver there. */
const UNBOUND = {groups: {12: [pci('0000:07:00.0', {unit: 'dmar0'})]}} as const satisfies Odd;

const DOM0 = {'sys/hypervisor/type': 'xen\n', 'proc/xen/capabilities': 'control_d\n'};

const RELEASE = '6.12.107-1-amd64';
const MODULES_DEP = `lib/modules/${RELEASE}/modules.dep`;
/** Machines without KVM: what is odd about each, and what has to be seen and advised. */
const WHY_NO_KVM: readonly (readonly [string, Odd, RegExp])[] = [
  ['a module that is not loaded', {}, /not loaded; run "modprobe kvm_intel"/],
  ['a module of AMD that is not loaded', {cpuFlags: 'fpu svm'}, /modprobe kvm_amd/],
  [
    'firmware that switched it off, which the kernel log says',
    {cpuFlags: 'fpu', log: ['x86/cpu: VMX (outside TXT) disabled by BIOS']},
    /log says "x86\/cpu: VMX.*; enable VT-x/,
  ],
  [
    'firmware that switched SVM off although the processor shows it',
    {cpuFlags: 'fpu svm', log: ['kvm: disabled by bios']},
    /disabled by bios"; enable VT-x or SVM/,
  ],
  [
    'a guest of VMware without nesting',
    {cpuFlags: 'fpu hypervisor', files: {'sys/class/dmi/id/sys_vendor': 'VMware, Inc.\n'}},
    /machine of VMware without nested virtualization; have its host switch on "Expose/,
  ],
  [
    'a guest of QEMU without nesting',
    {cpuFlags: 'fpu hypervisor', files: {'sys/class/dmi/id/sys_vendor': 'QEMU\n'}},
    /with nested=1, and start QEMU with -cpu host; or try "kvfio lab"/,
  ],
  [
    'a guest of Xen without nesting',
    {cpuFlags: 'fpu hypervisor', files: {'sys/hypervisor/type': 'xen\n', 'proc/xen/capabilities': '\n'}},
    /of Xen without nested virtualization; have its host set "nestedhvm = 1"/,
  ],
  ['the dom0 of Xen', {cpuFlags: 'fpu', files: DOM0}, /dom0, where KVM cannot run/],
  [
    'a back end without flags that is built in and did not start',
    {
      cpuFlags: 'fpu hypervisor',
      files: {'sys/module/kvm_pvm/parameters/force': 'N\n'},
      log: ['kvm_pvm: CPU feature FSGSBASE is not available'],
    },
    /kvm_pvm is in this kernel, but did not start: the kernel log says "kvm_pvm: CPU feature.*dmesg/,
  ],
  [
    'a back end that is built in and did not start',
    {files: {'sys/module/kvm_intel/parameters/nested': 'Y\n'}},
    /kvm_intel is in this kernel, but did not start; look/,
  ],
  [
    'a back end that is built in, and kept from starting',
    {files: {'sys/module/kvm_intel/parameters/nested': 'Y\n'}, commandLine: 'initcall_blacklist=vmx_init'},
    /remove initcall_blacklist=vmx_init from GRUB_CMDLINE_LINUX/,
  ],
  ['a kernel without KVM', {config: 'CONFIG_MODULES=y\n'}, /has no CONFIG_KVM_INTEL; use a kernel with/],
  [
    'a kernel that loads no modules',
    {files: {'proc/misc': '183 hw_random\n'}},
    /cannot load modules \(CONFIG_MODULES\); use a kernel with CONFIG_KVM_INTEL/,
  ],
  [
    'a root that may load none',
    {user: {...ROOT, capabilities: 0n}},
    /root here may load none \(it lacks CAP_SYS_MODULE\); run "modprobe kvm_intel" where root may/,
  ],
  [
    'a system that has switched the loading of modules off',
    {files: {'proc/sys/kernel/modules_disabled': '1\n'}},
    /until the next boot; run "echo kvm_intel > \/etc\/modules-load.d/,
  ],
  [
    'a module that the command line forbids',
    {commandLine: 'module_blacklist=nouveau,kvm_intel'},
    /booted with module_blacklist=nouveau,kvm_intel; remove/,
  ],
  [
    'a module whose start the command line forbids',
    {commandLine: 'initcall_blacklist=vmx_init'},
    /booted with initcall_blacklist=vmx_init; remove initcall_blacklist=vmx_init from GRUB/,
  ],
  [
    'a module that modprobe is told to leave out',
    {files: {'etc/modprobe.d/no-kvm.conf': '# none\ninstall kvm-intel /bin/false\n'}},
    /no-kvm.conf has "install kvm-intel \/bin\/false"; remove that line, then run/,
  ],
  [
    'a module that is on a blacklist',
    {files: {'etc/modprobe.d/no-kvm.conf': 'blacklist kvm_intel\n'}},
    /has "blacklist kvm_intel"; run "modprobe kvm_intel" as root, and for every boot remove that line/,
  ],
  [
    'a module that the command line blacklists',
    {commandLine: 'modprobe.blacklist=kvm_intel'},
    /booted with modprobe.blacklist=kvm_intel; run "modprobe kvm_intel"/,
  ],
  [
    'a kernel whose modules are not installed',
    {files: without(MODULES_DEP)},
    /is not there; install the modules of Linux 6.12.107-1-amd64/,
  ],
  [
    'a processor that VirtualBox may have',
    {files: {'sys/module/vboxdrv/initstate': 'live\n'}},
    /VirtualBox \(module vboxdrv\) may have the processor/,
  ],
  [
    'Arm, where the kernel did not start as a hypervisor',
    {architecture: 'aarch64', cpuFlags: null, config: 'CONFIG_KVM=y\n'},
    /start the kernel at EL2/,
  ],
  [
    'Arm, where the command line says so',
    {architecture: 'aarch64', cpuFlags: null, config: 'CONFIG_KVM=y\n', commandLine: 'kvm-arm.mode=none'},
    /remove kvm-arm.mode=none/,
  ],
];

const NIC = pci('0000:07:00.0', {unit: 'dmar0', driver: 'e1000e'});
const DISK = pci('0000:08:00.0', {unit: 'dmar0', classCode: '010802', driver: 'nvme'});

/** An RMRR, as a group shows it. */
const DIRECT = '0x00000000bddde000 0x00000000bdddefff direct\n0x00000000fee00000 0x00000000feefffff msi\n';

const UNREMAPPED = '   0:  34  IO-APIC  2-edge  timer\n';

/** Refusals that the kernel logs, in its words. */
const LOGGED: readonly (readonly [string, string, RegExp])[] = [
  [
    'direct-region',
    'vfio-pci 0000:07:00.0: Firmware has requested this device have a 1:1 IOMMU mapping, rejecting configuring the device without a 1:1 mapping. Contact your platform vendor.',
    /it says "vfio-pci .*"; have the firmware leave that region out/,
  ],
  [
    'direct-region',
    'vfio-pci 0000:07:00.0: Device is ineligible for IOMMU domain attach due to platform RMRR requirement.  Contact your platform vendor.',
    /leave that region out/,
  ],
  [
    'denylist',
    'vfio-pci 0000:b1:01.0: 8086:37c9 exists in vfio-pci device denylist, driver probing disallowed.',
    /disable_denylist=1/,
  ],
  [
    'reserved-memory',
    "vfio-pci 0000:01:00.0: BAR 1: can't reserve [mem 0xc0000000-0xcfffffff 64bit pref]",
    /proc\/iomem/,
  ],
  [
    'inaccessible',
    'vfio-pci 0000:01:00.0: Unable to change power state from D3cold to D0, device inaccessible',
    /switch the machine off and on/,
  ],
  ['inaccessible', 'vfio-pci 0000:01:00.0: not ready 65535ms after bus reset; giving up', /off and on/],
  ['locked-memory', 'vfio_pin_pages_remote: RLIMIT_MEMLOCK (65536) exceeded', /raise memlock/],
];

/** A check, a machine, the state it must have, and what must be seen or advised. */
/** The table IVRS with one IVHD of type 11h, whose attributes say HATDis. */
const ivrs = (attributes: number): string =>
  `IVRS${'\0'.repeat(44)}\x11\0\x28\0${'\0'.repeat(16)}${String.fromCodePoint(attributes)}${'\0'.repeat(19)}`;

const HATDIS = ivrs(1);
const NO_HATDIS = ivrs(0);

type Row = readonly [id: string, what: string, odd: Odd, state: CheckResult['state'], seen: RegExp];

const TABLE: readonly Row[] = [
  ['cpu-virtualization', 'an AMD processor', {cpuFlags: 'fpu svm'}, 'pass', /svm/],
  [
    'cpu-virtualization',
    'a back end that runs without flags',
    {cpuFlags: 'fpu', files: {'sys/module/kvm_pvm/parameters/force': 'N'}},
    'pass',
    /KVM runs with the back end kvm_pvm/,
  ],
  [
    'cpu-virtualization',
    'a back end without flags that did not start',
    {
      cpuFlags: 'fpu hypervisor',
      ...NO_KVM,
      files: {...NO_KVM.files, 'sys/module/kvm_pvm/parameters/force': 'N'},
    },
    'fail',
    /without nested virtualization/,
  ],
  ['cpu-virtualization', 'firmware that hides it', {cpuFlags: 'fpu', ...NO_KVM}, 'fail', /firmware set-up/],
  [
    'cpu-virtualization',
    'a guest without nesting',
    {cpuFlags: 'fpu hypervisor', ...NO_KVM},
    'fail',
    /nested/,
  ],
  [
    'cpu-virtualization',
    'the dom0 of Xen',
    {cpuFlags: 'fpu', ...NO_KVM, files: {...NO_KVM.files, ...DOM0}},
    'fail',
    /its dom0, where KVM cannot run; boot the entry without Xen/,
  ],
  ['cpu-virtualization', 'an Arm processor', {cpuFlags: null, ...NO_KVM}, 'unknown', /flags of an x86/],
  ['kvm', 'a container without its node', {...NO_NODE}, 'fail', /give the container/],
  [
    'kvm',
    'a node that no KVM is behind',
    {...NO_KVM, kvm: refused('ENODEV'), nodes: {}},
    'fail',
    /modprobe kvm_intel/,
  ],
  ...WHY_NO_KVM.map(([what, odd, text]): (typeof TABLE)[number] => [
    'kvm',
    what,
    {...NO_KVM, ...odd, files: {...NO_KVM.files, ...odd.files}},
    'fail',
    text,
  ]),
  [
    'kvm-access',
    'a user outside of the group kvm',
    {user: USER, kvm: refused('EACCES'), ...KVM_NODE},
    'fail',
    /usermod --append --groups kvm/,
  ],
  [
    'kvm-access',
    'a user who has joined the group since the log-in',
    {
      user: USER,
      kvm: refused('EACCES'),
      ...KVM_NODE,
      files: {...KVM_NODE.files, 'etc/group': 'kvm:x:106:bob,alice\n'},
    },
    'fail',
    /log in again/,
  ],
  [
    'kvm-access',
    "a node that is root's alone",
    {user: USER, kvm: refused('EACCES'), ...KVM_NODE, owner: {uid: 0, gid: 0, mode: 0o20600}},
    'fail',
    /chgrp kvm \/dev\/kvm/,
  ],
  [
    'kvm-access',
    'a /dev without devices',
    {user: USER, kvm: refused('EACCES'), ...KVM_NODE, nodes: {}},
    'fail',
    /without "nodev"/,
  ],
  [
    'kvm-access',
    'the root of a user namespace',
    {user: {...ROOT, capabilities: 0n}, kvm: refused('EACCES'), ...KVM_NODE},
    'fail',
    /user namespace/,
  ],
  [
    'kvm-access',
    'a cgroup without the device',
    {kvm: refused('EPERM')},
    'fail',
    /device cgroup refuses; permit/,
  ],
  ['kvm-access', 'no KVM', {kvm: refused('ENOENT')}, 'unknown', /ENOENT/],
  ['kvm-access', 'no system calls', {kvm: null, nodes: {'/dev/kvm': 'EACCES'}}, 'fail', /EACCES/],
  [
    'kvm-access',
    'a processor that VirtualBox has',
    {kvm: {opened: true, createVm: 'EBUSY'}, files: {'sys/module/vboxdrv/initstate': 'live\n'}},
    'fail',
    /EBUSY: VirtualBox .*; end the VMs of VirtualBox, run "modprobe -r vboxdrv" and "modprobe kvm_intel"/,
  ],
  [
    'kvm-access',
    'a processor that somebody else has',
    {kvm: {opened: true, createVm: 'EBUSY'}},
    'fail',
    /another hypervisor has VMX/,
  ],
  [
    'kvm-access',
    'a KVM that makes no VM',
    {kvm: {opened: true, createVm: 'ENOMEM'}, log: ['kvm: allocation of VMCS failed']},
    'fail',
    /ENOMEM, and the kernel log says "kvm: allocation/,
  ],
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
    /remove intel_iommu=off from GRUB_CMDLINE_LINUX or GRUB_CMDLINE_LINUX_DEFAULT in \/etc\/default\/grub, whichever has it, run update-grub/,
  ],
  [
    'iommu',
    'an IOMMU that is switched on and then off',
    {units: {}, groups: {}, commandLine: 'intel_iommu=on intel_iommu=sm_on,off iommu=pt'},
    'fail',
    /says intel_iommu=sm_on,off; remove intel_iommu=sm_on,off/,
  ],
  [
    'iommu',
    'an IOMMU that is switched off and then on, and gave up',
    {
      units: {},
      groups: {},
      commandLine: 'intel_iommu=off intel_iommu=on',
      log: ['DMAR: Failed to map dmar0'],
    },
    'fail',
    /started no IOMMU unit: its log says "DMAR: Failed/,
  ],
  [
    'iommu',
    'an IOMMU whose scalable mode alone was asked for',
    {units: {}, groups: {}, config: 'CONFIG_INTEL_IOMMU=y\n', commandLine: 'intel_iommu=sm_on'},
    'fail',
    /leaves it off unless it is asked for/,
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
  [
    'iommu',
    'an IOMMU that the kernel gave up, by its log',
    {units: {}, groups: {}, log: ['DMAR: Host address width 39', 'DMAR: Failed to map dmar0']},
    'fail',
    /started no IOMMU unit: its log says "DMAR: Failed to map dmar0"/,
  ],
  [
    'iommu',
    'the dom0 of Xen, of which a report has what xenfs says alone',
    {units: {}, groups: {}, files: {'proc/xen/capabilities': 'control_d\n'}},
    'fail',
    /Xen has the IOMMU, and this is its dom0.*xl pci-assignable-add/,
  ],
  [
    'iommu',
    'the dom0 of Xen',
    {
      units: {},
      groups: {},
      tables: ['XMAR'],
      cpuFlags: 'fpu hypervisor',
      files: {'sys/hypervisor/type': 'xen\n'},
    },
    'fail',
    /Xen has the IOMMU, and this is its dom0.*xl pci-assignable-add/,
  ],
  [
    'iommu',
    'a guest of Xen',
    {
      units: {},
      groups: {},
      tables: ['APIC'],
      files: {'sys/hypervisor/type': 'xen\n', 'sys/hypervisor/start_flags/initdomain': '0\n'},
    },
    'fail',
    /a guest of Xen, which gives it no IOMMU; have the dom0/,
  ],
  [
    'iommu',
    'groups of platform devices alone',
    {groups: {1: [other('platform', '107c580000.hvs', {unit: 'dmar0'})]}, ungrouped: [pci('0001:01:00.0')]},
    'fail',
    /no PCI device is in a group \(of 1, behind dmar0\)/,
  ],
  [
    'iommu',
    'groups that VFIO made up itself',
    {
      units: {},
      groups: {0: {name: 'vfio-noiommu', devices: [pci('0000:01:00.0', {driver: 'vfio-pci'})]}},
      commandLine: 'intel_iommu=off',
    },
    'fail',
    /made the groups up itself .* says intel_iommu=off; remove intel_iommu=off from/,
  ],
  [
    'iommu',
    'groups of mediated devices alone, which have no name before 5.16',
    {
      release: '5.10.0-46-amd64',
      units: {},
      groups: {0: [other('mdev', '83b8f4f2-509f-382f-3c1e-e6bfe0fa1001', {driver: 'vfio_mdev'})]},
      commandLine: 'intel_iommu=off',
    },
    'fail',
    /made the groups up itself .* remove intel_iommu=off from/,
  ],
  [
    'iommu',
    'a group that VFIO made up beside groups of platform devices',
    {
      groups: {
        0: {name: 'vfio-noiommu', devices: [pci('0000:01:00.0', {driver: 'vfio-pci'})]},
        1: [other('platform', '107c580000.hvs', {unit: 'dmar0'})],
      },
    },
    'fail',
    /no PCI device is in a group \(of 1, behind dmar0\)/,
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
    /ITS-PCI-MSI/,
  ],
  [
    'interrupt-remapping',
    'unreadable interrupts',
    {interrupts: null, files: without('proc/interrupts')},
    'unknown',
    /cannot be read/,
  ],
  ...[
    'vfio_iommu_type1_attach_group: No interrupt remapping support.  Use the module param "allow_unsafe_interrupts"',
    'vfio-pci 0000:01:00.0: MSI interrupts are not secure, they cannot be isolated by the platform.',
  ].map((line): Row => [
    'interrupt-remapping',
    `unreadable interrupts, and a log that says ${line.slice(0, 20)}`,
    {interrupts: null, files: without('proc/interrupts'), log: [line]},
    'fail',
    /the kernel log says ".*(?:No interrupt remapping|not secure)/,
  ]),
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
    'Arm, where KVM does not care',
    {architecture: 'aarch64', units: {smmu3: plain('arm-smmu-v3')}},
    'pass',
    /does nothing with the answer on aarch64/,
  ],
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
    /cannot determine it for mystery0/,
  ],
  [
    'vfio-modules',
    'modules that can be loaded',
    {
      ...UNBOUND,
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
      ...UNBOUND,
      files: {
        ...without('sys/module/vfio_pci/refcnt', 'sys/module/vfio/refcnt'),
        'lib/modules/6.12.107-1-amd64/modules.dep': 'kernel/drivers/net/veth.ko.xz:\n',
      },
    },
    'fail',
    /has no module vfio_pci; use a kernel with CONFIG_VFIO_PCI: .*"cloud"/,
  ],
  [
    'vfio-modules',
    'no modules at all',
    {...UNBOUND, files: without('sys/module/vfio_pci/refcnt', MODULES_DEP)},
    'fail',
    /vfio_pci does not run: .* is not there; install the modules of Linux/,
  ],
  [
    'vfio-modules',
    'a kernel that has it built in, without /lib/modules',
    {
      config: 'CONFIG_VFIO=y\nCONFIG_VFIO_PCI=y\n',
      files: {
        ...without('sys/module/vfio_pci/refcnt', 'sys/module/vfio/refcnt', MODULES_DEP),
        'sys/module/vfio_pci/parameters/ids': '\n',
      },
    },
    'pass',
    /vfio_iommu_type1 is loaded, vfio, vfio_pci are part of this kernel/,
  ],
  [
    'vfio-modules',
    'modules that modprobe is told to leave out',
    {
      ...UNBOUND,
      files: {
        ...without('sys/module/vfio_pci/refcnt'),
        [MODULES_DEP]: 'kernel/drivers/vfio/pci/vfio-pci.ko.xz:\n',
        'etc/modprobe.d/x.conf': 'install vfio_pci /bin/false\n',
      },
    },
    'fail',
    /remove that line/,
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
  [
    'vfio-cdev',
    'a VFIO without',
    {files: {'proc/devices': '250 vfio\n'}},
    'fail',
    /makes no nodes of devices/,
  ],
  [
    'vfio-cdev',
    'Linux 5.10',
    {release: '5.10.0-46-amd64', files: without('proc/devices')},
    'fail',
    /5\.10\S* is older/,
  ],
  [
    'vfio-cdev',
    'a kernel without, whose VFIO does not run',
    {config: 'CONFIG_VFIO=m\n', files: without('proc/devices')},
    'fail',
    /has no CONFIG_VFIO_DEVICE_CDEV/,
  ],
  [
    'vfio-cdev',
    'a kernel with, whose VFIO does not run',
    {config: 'CONFIG_VFIO_DEVICE_CDEV=y\n', files: without('proc/devices')},
    'pass',
    /has CONFIG_VFIO_DEVICE_CDEV/,
  ],
  [
    'vfio-cdev',
    'a kernel that says nothing',
    {files: without('proc/devices')},
    'unknown',
    /VFIO does not run/,
  ],
  [
    'vfio-cdev',
    'a kernel with',
    {
      files: {
        ...without('proc/devices'),
        'sys/devices/pci0000:07/0000:07:00.0/vfio-dev/vfio0/dev': '510:0\n',
      },
    },
    'pass',
    /a node for each device/,
  ],
  ['assignable', 'a group that a VM has', {}, 'pass', /1 of 1 group can be assigned/],
  [
    'assignable',
    'a group that only interrupts keep from a VM, whose cure another check has',
    {interrupts: UNREMAPPED, files: without('proc/interrupts')},
    'fail',
    /none of 1 group can be assigned: the devices could raise interrupts of others.*; cure that first/,
  ],
  [
    'assignable',
    'a group that VFIO has made up, which is nothing to give',
    {groups: {0: {name: 'vfio-noiommu', devices: [pci('0000:01:00.0', {driver: 'vfio-pci'})]}}},
    'unknown',
    /no group has a device/,
  ],
  [
    'assignable',
    'a machine whose only group firmware has a part of',
    {groups: {12: {devices: [NIC], regions: DIRECT}}},
    'fail',
    /none of 1 group can be assigned/,
  ],
  ['assignable', 'groups of bridges alone', {groups: {1: [port('0000:00:1c.0')]}}, 'unknown', /no group has/],
  [
    'assignable-direct-region',
    'groups of which firmware has a part',
    {groups: {12: {devices: [NIC], regions: DIRECT}, 13: [], 14: {devices: [DISK], regions: DIRECT}}},
    'fail',
    /2 groups cannot be assigned: 12 \(firmware wants 0x00000000bddde000-0x00000000bdddefff .*, 14 .*; have the firmware leave/,
  ],
  [
    'assignable-denylist',
    'a device on the denylist',
    {
      groups: {
        90: [pci('0000:b1:01.0', {unit: 'dmar0', device: '37c9', classCode: '0b4000', driver: 'c6xxvf'})],
      },
      files: {'sys/module/vfio_pci/parameters/disable_denylist': 'N\n'},
    },
    'fail',
    /1 group cannot be assigned: 90 \(0000:b1:01.0 is 8086:37c9.*; load it with disable_denylist=1/,
  ],
  [
    'assignable-drivers',
    'a member of another bus that no driver of VFIO takes',
    {groups: {7: [NIC, other('platform', 'PNP0000:00', {unit: 'dmar0', driver: 'acpi'})]}},
    'fail',
    /1 group cannot be assigned: 7 \(PNP0000:00 is bound to acpi\); take acpi from PNP0000:00 \("echo PNP0000:00 >/,
  ],
  [
    'shared-groups',
    'functions of one slot',
    {groups: {1: [NIC, pci('0000:07:00.1')]}},
    'pass',
    /no group has/,
  ],
  [
    'shared-groups',
    'a group of two slots',
    {groups: {1: [port('0000:00:1c.0'), NIC, DISK]}},
    'fail',
    /group 1 has 0000:07:00 and 0000:08:00; move one to another slot, .*; switch ACS on in the firmware set-up; or boot a kernel with the patch for pcie_acs_override=downstream,multifunction, which mainline does not have: it splits/,
  ],
  [
    'shared-groups',
    'a group of two slots on Proxmox, whose kernel has the patch',
    {groups: {1: [NIC, DISK]}, release: '6.8.12-4-pve'},
    'fail',
    /this kernel carries that patch, add pcie_acs_override=downstream,multifunction to GRUB_CMDLINE_LINUX/,
  ],
  [
    'shared-groups',
    'a group of two slots under Secure Boot, which boots no patched kernel',
    {
      groups: {1: [NIC, DISK]},
      files: {'sys/kernel/security/lockdown': 'none [integrity] confidentiality\n'},
    },
    'fail',
    /switch ACS on in the firmware set-up$/,
  ],
  ...LOGGED.map(([id, line, text]): (typeof TABLE)[number] => [
    `log-${id}`,
    'a log with it',
    {log: ['vfio-pci 0000:07:00.0: enabling device', line, line]},
    'fail',
    text,
  ]),
  [
    'interrupt-remapping',
    'an erratum of the chipset, by the log',
    {
      interrupts: UNREMAPPED,
      files: without('proc/interrupts'),
      log: ['DMAR-IR: This system BIOS has enabled interrupt remapping'],
    },
    'fail',
    /the kernel log says "DMAR-IR: This system BIOS/,
  ],
  ...(
    ['kvm-access', 'kvm-device-control', 'kvm-vfio', 'vfio-nodes', 'memlock', 'ptrace', 'tracefs'] as const
  ).map((id): (typeof TABLE)[number] => [id, 'files alone', {live: null}, 'unknown', /a capture cannot say/]),
  ['kvm', 'files alone', {live: null}, 'pass', /the kernel has its device/],
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
    'a kernel without',
    {files: {'proc/filesystems': 'nodev\tsysfs\n'}},
    'fail',
    /this kernel has no tracefs; use a kernel with CONFIG_FTRACE/,
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
    "a 6.1 of Debian's that is too old",
    {
      release: '6.1.0-3-amd64',
      files: {'proc/version': 'Linux version 6.1.0-3-amd64 (gcc-12) #1 SMP Debian 6.1.8-1 (2023-01-29)\n'},
    },
    'fail',
    /6\.1\.9 or newer/,
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
  ['trap-refused-delete', 'Linux 6.19', {release: '6.19.2'}, 'unknown', /between/],
  ['trap-refused-delete', 'Linux 7.3', {release: '7.3.4'}, 'fail', /7\.3/],
  [
    'trap-amd-page-tables',
    'version 2 page tables',
    {units: {ivhd0: amd()}, commandLine: 'amd_iommu=pgtbl_v2'},
    'fail',
    /remove amd_iommu=pgtbl_v2 from .*, or do not rely on coherency/,
  ],
  ...(
    [
      ['7.3.4', HATDIS, 'fail', /HATDis \(IVRS\).*; do not rely on coherency/],
      ['7.3.4', NO_HATDIS, 'pass', /version 1/],
      ['6.12.107-1-amd64', HATDIS, 'pass', /version 1/],
    ] as const
  ).map(([release, table, state, seen]): Row => [
    'trap-amd-page-tables',
    `${table === HATDIS ? 'version 2 forced' : 'version 1 allowed'} by firmware, on Linux ${release}`,
    {units: {ivhd0: amd()}, release, files: {'sys/firmware/acpi/tables/IVRS': table}},
    state,
    seen,
  ]),
  ['trap-lockdown', 'a kernel without lockdown', {}, 'pass', /shows no lockdown/],
  ...(['none', 'integrity', 'confidentiality'] as const).map((mode): Row => [
    'trap-lockdown',
    `lockdown ${mode}`,
    {
      files: {
        'sys/kernel/security/lockdown': `none integrity confidentiality\n`.replace(mode, `[${mode}]`),
      },
    },
    mode === 'none' ? 'pass' : 'fail',
    new RegExp(`says ${mode}`),
  ]),
  [
    'assignable-framebuffer',
    'a display whose framebuffer the firmware has left',
    {
      groups: {7: [pci('0000:01:00.0', {unit: 'dmar0', driver: 'vfio-pci', classCode: '038000'})]},
      files: {
        'sys/bus/platform/devices/efi-framebuffer.0/uevent': 'x\n',
        'proc/iomem': '0-0 : 0000:01:00.0\n  0-0 : BOOTFB\n',
      },
    },
    'fail',
    /BOOTFB.*; add initcall_blacklist=sysfb_init to GRUB_CMDLINE_LINUX in .*, which leaves the machine/,
  ],
  ['trap-sibling', 'a kernel that refuses the driver', {}, 'pass', /6\.12/],
  ['trap-sibling', 'an older kernel', {release: '5.10.0-46-amd64'}, 'fail', /5\.10\.0.*whole groups/],
  [
    'trap-sibling',
    "an older kernel of a vendor's",
    {release: '5.14.0-70.13.1.el9_0.x86_64'},
    'unknown',
    /RHEL 9 may have newer code/,
  ],
  [
    'trap-coherency-rule',
    "an older kernel of a vendor's",
    {release: '5.14.0-70.13.1.el9_0.x86_64'},
    'unknown',
    /RHEL 9 may have newer code/,
  ],
  [
    'trap-release-on-close',
    "an older kernel of a vendor's",
    {release: '5.14.0-70.13.1.el9_0.x86_64'},
    'unknown',
    /RHEL 9 may have newer code/,
  ],
  ['trap-amd-page-tables', 'version 1 page tables', {units: {ivhd0: amd()}}, 'pass', /version 1/],
  [
    'trap-acs-override',
    'a patched kernel',
    {commandLine: 'pcie_acs_override=downstream'},
    'fail',
    /remove pcie_acs_override=downstream/,
  ],
  ...(
    [
      ['that is left out', 'intel_iommu=igfx_off', /put intel_iommu=on in place of intel_iommu=igfx_off/],
      [
        'that is left out by what stands beside the switch of the IOMMU',
        'intel_iommu=on,igfx_off',
        /put intel_iommu=on in place of intel_iommu=on,igfx_off into GRUB_CMDLINE_LINUX/,
      ],
      [
        'that the kernel leaves out by default',
        'ro',
        /unless it is booted with intel_iommu=on .*; add intel_iommu=on/,
      ],
      [
        'that the command line leaves out',
        'intel_iommu=on,intgpu_off',
        /booted with intel_iommu=on,intgpu_off\).*; put intel_iommu=on in place of intel_iommu=on,intgpu_off into/,
      ],
      ['of which the last word counts', 'intel_iommu=intgpu_off,on', /in no group; hand out another/],
      ['that an old chip has', 'intel_iommu=on', /hand out another/],
    ] as const
  ).map(([what, commandLine, text]): (typeof TABLE)[number] => [
    'trap-graphics-unit',
    `graphics ${what}`,
    {
      ungrouped: [pci('0000:00:02.0', {vendor: '8086', classCode: '030000', driver: 'i915'})],
      config: 'CONFIG_INTEL_IOMMU=y\nCONFIG_INTEL_IOMMU_DEFAULT_ON_INTGPU_OFF=y\n',
      commandLine,
    },
    'fail',
    text,
  ]),
];

describe('examining a machine', () => {
  it('finds nothing wrong where all is well', () => {
    const {checks, ready, failed} = examineOdd();
    assert.deepEqual(
      checks.filter(({state}) => state !== 'pass'),
      [],
    );
    assert.deepEqual([ready, failed], [true, 0]);
  });

  it('says in a note what does not hold, and leaves that to the label of what is needed', () => {
    const lines = doctorLines(
      examineOdd({
        units: {dmar0: intel('c40660442')},
        interrupts: UNREMAPPED,
        files: without('proc/interrupts'),
      }),
      {
        paint: new Chalk({level: 0}),
        width: null,
      },
    );
    assert.ok(lines.includes('note  not all DMA is forced to be coherent: dmar0 cannot'));
    assert.ok(
      lines.some((line) => line.startsWith('FAIL  interrupts of devices are isolated: nothing remaps')),
    );
    const titles = examineOdd().checks.map(({title, otherwise}) => [title, otherwise]);
    assert.deepEqual(
      titles.filter(([title, otherwise]) => title === otherwise),
      [],
    );
  });

  for (const [id, what, odd, state, text] of TABLE) {
    it(`${id}: ${what} is ${state === 'unknown' ? 'undecided' : state}`, () => {
      const check = checkOf(id, odd);
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

  it('needs for each purpose what is told', () => {
    const odd = {units: {}, groups: {}, tables: [], user: USER, kvm: refused('EACCES')};
    const {checks, failed, ready} = examineOdd(odd);
    const failing = checks.filter(({state, needed}) => needed && state === 'fail').map(({id}) => id);
    assert.deepEqual(failing, ['kvm-access', 'iommu', 'memlock']);
    assert.deepEqual([failed, ready], [3, false]);
  });
});
