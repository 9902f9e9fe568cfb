import {machineText, type Machine} from './machine.js';

/** The hypervisor that this machine runs on. */
export interface Hypervisor {
  /** Null when it does not say. */
  name: string | null;
  /** How it gives a guest VMX or SVM, one sentence without a full stop. */
  nested: string;
}

/** Recognises the hypervisor by the firmware that it makes up (DMI), or by its name in sysfs; null on bare metal. */
export const readHypervisor = (machine: Machine): Hypervisor | null => {
  if (!cpuFlags(machine)?.includes('hypervisor')) return null;
  const words = ['/sys/hypervisor/type', '/sys/class/dmi/id/sys_vendor', '/sys/class/dmi/id/product_name']
    .map((path) => machineText(machine, path)?.trim() ?? '')
    .join(' ');
  return HYPERVISORS.find(({pattern}) => pattern.test(words)) ?? UNNAMED;
};

const HYPERVISORS: readonly (Hypervisor & {pattern: RegExp})[] = [
  {
    pattern: /\bxen\b/i,
    name: 'Xen',
    nested: 'set "nestedhvm = 1" and "hap = 1" in its xl.cfg, as an HVM guest',
  },
  {
    pattern: /VMware/,
    name: 'VMware',
    nested: 'switch on "Expose hardware assisted virtualization to the guest OS" (vhv.enable) for it',
  },
  {
    pattern: /innotek|VirtualBox/,
    name: 'VirtualBox',
    nested: 'run "VBoxManage modifyvm NAME --nested-hw-virt on" while it is off',
  },
  {
    pattern: /Microsoft/,
    name: 'Hyper-V',
    nested: 'run "Set-VMProcessor NAME -ExposeVirtualizationExtensions $true" while it is off',
  },
  {
    pattern: /Amazon/,
    name: 'EC2',
    nested: 'use an instance type whose name ends in "metal"',
  },
  {
    pattern: /Google/,
    name: 'Google Compute Engine',
    nested: 'start it with --enable-nested-virtualization, of a machine type that has it',
  },
  {
    pattern: /QEMU|Red Hat|oVirt|OpenStack|Proxmox/,
    name: 'QEMU',
    nested: 'load kvm_intel or kvm_amd of the host with nested=1, and start QEMU with -cpu host',
  },
];

const UNNAMED: Hypervisor = {name: null, nested: 'switch nested virtualization on for it'};

/** Flags of the first processor; null where /proc/cpuinfo shows none, as on other architectures than x86. */
export const cpuFlags = (machine: Machine): string[] | null =>
  /^flags\s*:(.*)$/m.exec(cpuInfo(machine))?.[1]?.split(' ') ?? null;

export const cpuVendor = (machine: Machine): string | null =>
  /^vendor_id\s*:\s*(\S+)/m.exec(cpuInfo(machine))?.[1] ?? null;

/** The first processor's part; the whole file has about 1.5 KB for each of up to 8,192. */
const cpuInfo = ({tree}: Machine): string => {
  const head = tree.inspect('/proc/cpuinfo', (at) => at(0, 8192).toString('latin1'));
  return typeof head === 'string' ? head : '';
};
