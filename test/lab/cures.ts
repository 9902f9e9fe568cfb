import type {LabIommu} from '../../src/lab/iommu-choice.js';
import type {LabOptions} from '../../src/lab/lab.js';
import {NVME} from './odd-guests.js';

/** A guest as the tests of cures boot it. */
export interface CuredGuest {
  /** A series, or the path of an image. */
  kernel: string;
  iommu: LabIommu;
  parameters: readonly string[];
  /** QEMU's devices; none stands for the lab's own. */
  pci: readonly string[];
  /** Tables of its firmware, and what they are. */
  tables?: LabOptions['tables'];
  with?: string;
}

/** What is done about a cure that doctor prints. */
export type Treatment =
  /** Commands for root, as printed; YOUR-NAME is the user. */
  | {kind: 'run'; commands: readonly string[]}
  /** The user's limit of locked memory, as a log-in gets it from limits.d. */
  | {kind: 'limit'}
  /** kvfio is run by root. */
  | {kind: 'root'}
  /** What the next boot has. */
  | {kind: 'boot'; change: (guest: CuredGuest) => Partial<CuredGuest>}
  /** Why no lab can do it. */
  | {kind: 'cannot'; because: string};

type Row = readonly [remedy: RegExp, treat: (...found: string[]) => Treatment];

const run = (...commands: string[]): Treatment => ({kind: 'run', commands});
const boot = (change: (guest: CuredGuest) => Partial<CuredGuest>): Treatment => ({kind: 'boot', change});
const cannot =
  (because: string): (() => Treatment) =>
  () => ({kind: 'cannot', because});

/** A guest without a word, or with another in its place; the lab itself switches Intel's IOMMU on. */
const without =
  (word: string, instead: readonly string[] = []) =>
  ({parameters}: CuredGuest): Partial<CuredGuest> => ({
    parameters: [...parameters.filter((parameter) => parameter !== word), ...instead],
  });

/** Every cure that doctor prints in the lab, by its words; the first that fits is taken. */
const CURES: readonly Row[] = [
  [
    /^remove that line, then run "(modprobe \S+)"/,
    (_, load = '') => run('rm /etc/modprobe.d/lab.conf', load),
  ],
  [
    /^run "(modprobe \S+)" as root, and for every boot remove that line/,
    (_, load = '') => run(load, 'rm /etc/modprobe.d/lab.conf'),
  ],
  [
    /^run "(modprobe \S+)" as root, and for every boot "(echo \S+ > \S+)"/,
    (_, load = '', keep = '') => run(load, keep),
  ],
  [/^run "(modprobe \S+)" as root, and for every boot remove (\S+) from /, (_, load = '') => run(load)],
  [/^run "(echo \S+ > \/etc\/modules-load.d\/\S+)" as root and reboot$/, () => boot(() => ({}))],
  // their being there is all that an installation comes to
  [/^install the modules of Linux \S+, or use a kernel/, () => run('umount /lib/modules')],
  [/on the host run "(mknod --mode=660 \/dev\/kvm c 10 232)" as root$/, (_, make = '') => run(make)],
  [
    /^have root run "(chgrp kvm \S+)" and "(chmod 660 \S+)"/,
    (_, ...commands) => run(...commands.slice(0, 2)),
  ],
  [/^run "(usermod --append --groups kvm YOUR-NAME)" as root and log in again$/, (_, join = '') => run(join)],
  [/have root run "(chown YOUR-NAME \S+)"$/, (_, own = '') => run(own)],
  [/^have root run "(chmod 666 \/dev\/vfio\/vfio)"/, (_, open = '') => run(open)],
  [/^raise memlock for your name/, () => ({kind: 'limit'})],
  [/or set kernel.yama.ptrace_scope to 0$/, () => run('echo 0 > /proc/sys/kernel/yama/ptrace_scope')],
  [/^run "(mount -t tracefs tracefs \/sys\/kernel\/tracing)" as root$/, (_, mount = '') => run(mount)],
  [/^run kvfio as root$/, () => ({kind: 'root'})],
  [
    /at your risk set allow_unsafe_interrupts of vfio_iommu_type1: "(echo Y > \S+)"$/,
    (_, allow = '') => run(allow),
  ],
  [/^remove (\S+) from /, (_, word = '') => boot(without(word))],
  [/^put (\S+) in place of (\S+) into /, (_, word = '', old = '') => boot(without(old, [word]))],
  [/^add (\S+) to /, (_, word = '') => boot(({parameters}) => ({parameters: [...parameters, word]}))],
  [/^give the virtual machine a virtual IOMMU/, () => boot(() => ({iommu: 'intel'}))],
  [/^use a kernel with CONFIG_FTRACE: /, () => boot(() => ({kernel: '6.12'}))],
  [
    /^(?:load virtio_iommu, or )?use a kernel with CONFIG_VIRTIO_IOMMU$/,
    () => boot(() => ({kernel: '6.12'})),
  ],
  [/^put devices behind a unit that can/, () => boot(() => ({iommu: 'intel-snoop'}))],
  [/or use Linux (?:6\.(?:1\.9|2)|5\.19) or newer$/, () => boot(() => ({kernel: '6.12'}))],
  [/or use a kernel from 6\.6 on that is built with CONFIG_IOMMUFD/, () => boot(() => ({kernel: 'iommufd'}))],
  [
    /^move one to another slot, below a port with ACS/,
    () => boot(() => ({pci: ['pcie-root-port,id=port1,bus=pcie.0,chassis=1', 'e1000e,bus=port1']})),
  ],
  [/^have the firmware leave that region out/, () => boot(() => ({tables: {}, with: ''}))],
  [
    /^use a slot below ports with ACS, where each function has a group of its own/,
    () =>
      boot(() => ({
        pci: [
          'pcie-root-port,id=p,bus=pcie.0,addr=0x3,chassis=1,slot=1',
          'nvme-subsys,id=sub',
          `${NVME},bus=p`,
        ],
      })),
  ],
  [/^cure what the next lines name/, cannot('the next lines have the cures')],
  [/^cure that first, as another line says$/, cannot('the other line has the cure')],
  [
    /^detach and attach a group when its members have changed$/,
    cannot('it is a way to work with this kernel, which stays as it is'),
  ],
];

/** @throws when a cure is in no row: then nobody has tried it */
export const treatmentOf = (check: string, remedy: string): Treatment => {
  for (const [pattern, treat] of CURES) {
    const found = pattern.exec(remedy);
    if (found !== null) return treat(...found);
  }
  throw new Error(`nobody has tried the cure of ${check}: ${remedy}`);
};

/** Cures that doctor prints on other machines, and why none of the lab's guests is one. */
export const BEYOND_THE_LAB: Readonly<Record<string, string>> = {
  'enable VT-x or SVM in the firmware set-up': 'the guest has no firmware set-up',
  'have its host': 'nested virtualization is a matter of the host, which is not the lab to change',
  'enable it in the firmware set-up': 'the guest has no firmware set-up',
  'use "xl pci-assignable-add"': 'the lab has no Xen',
  'permit /dev/kvm where the cgroup is made': 'no service makes cgroups in the guest',
};

/** What became of one cure in the guest. */
export interface Cured {
  state: string;
  check: string;
  /** Each cure that was printed for it, one after the other. */
  remedies: string[];
  /** What was done last. */
  treatment: Treatment['kind'];
  /** What doctor says afterwards. */
  after: string;
}
