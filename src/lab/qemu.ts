import type {LabAccelerator} from './accelerator.js';
import {archParts, type LabArch} from './arch.js';
import {iommuChoice, machineFor, type LabIommu} from './iommu-choice.js';
import type {Topology} from './topology.js';

export interface MachineParts {
  arch: LabArch;
  accelerator: LabAccelerator;
  iommu: LabIommu;
  topology: Topology;
  /** Paths of the files that QEMU reads and writes. */
  kernel: string;
  initrd: string;
  disk: string;
  pidFile: string;
  /** Folder through which guest and kvfio hand over data. */
  share: string;
  /** Folder whose files the guest sees in place of the host's, or null. */
  layer: string | null;
  /** Folder of the host that the guest may write to, or null. */
  out: string | null;
  /** Words for the kernel's command line, after the lab's own. */
  parameters: readonly string[];
  /** Have the kernel say on its console what it does. */
  talkative: boolean;
}

/** Descriptors that QEMU inherits, one socket for each serial port of the guest. */
export const SERIAL_DESCRIPTORS = {console: 3, control: 4, terminal: 5} as const;

/** Serial ports, under the names that arch.ts has for them. */
const SERIAL_PORTS: Record<LabArch, readonly string[]> = {
  // each has an interrupt of its own that no PCI device of q35 is routed to: ISA ports of QEMU cannot share one
  amd64: [
    ...['-device', 'isa-serial,chardev=console,iobase=0x3f8,irq=4'],
    ...['-device', 'isa-serial,chardev=control,iobase=0x2f8,irq=3'],
    ...['-device', 'isa-serial,chardev=terminal,iobase=0x3e8,irq=7'],
  ],
  // the machine "virt" has one, and others are PCI devices
  arm64: [
    ...['-serial', 'chardev:console'],
    ...['-device', 'pci-serial,chardev=control,addr=0x18'],
    ...['-device', 'pci-serial,chardev=terminal,addr=0x19'],
  ],
};

const machineOf = ({arch, accelerator, iommu}: MachineParts): string[] => {
  if (arch === 'arm64') {
    // it starts at EL2, so that the guest has a KVM of its own
    const machine = `virt,gic-version=3,virtualization=on,iommu=${iommu === 'smmuv3' ? 'smmuv3' : 'none'}`;
    return ['-machine', machine, '-accel', 'tcg', '-cpu', 'cortex-a76'];
  }
  return [
    ...['-machine', machineFor(accelerator)],
    // KVM is tried with AMD's only, on Linux 6.1 that was itself emulated; with Intel's it is not.
    // "max" has SVM under TCG, so that the guest has a KVM of its own; QEMU emulates no VMX
    ...(accelerator === 'kvm'
      ? ['-accel', 'kvm', '-cpu', 'host']
      : // in turns: the first VM and every tracer patch code of the scheduler, which crashes guests whose CPUs run at once
        ['-accel', 'tcg,thread=single', '-cpu', 'max']),
  ];
};

/** QEMU's arguments for the guest. */
export const qemuArguments = (parts: MachineParts): string[] => {
  const {arch, iommu, topology} = parts;
  const {devices, kernelParameters} = iommuChoice(iommu);
  return [
    ...['-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none', '-pidfile', parts.pidFile],
    ...machineOf(parts),
    ...['-smp', '2', '-m', '2048'],
    ...['-kernel', parts.kernel, '-initrd', parts.initrd],
    ...[
      '-append',
      [
        console(arch),
        ...BASE_PARAMETERS[arch],
        loglevel(parts.talkative),
        ...kernelParameters,
        ...parts.parameters,
      ].join(' '),
    ],
    ...Object.entries(SERIAL_DESCRIPTORS).flatMap(([name, descriptor]) => [
      ...['-chardev', `socket,id=${name},fd=${descriptor}`],
    ]),
    ...SERIAL_PORTS[arch],
    ...devices.flatMap((device) => ['-device', device]),
    ...fileTree('host', '/', '0x1b', ',readonly=on,multidevs=remap'),
    ...fileTree('lab', parts.share, '0x1c', ''),
    ...(parts.layer === null ? [] : fileTree('layer', parts.layer, '0x1a', ',readonly=on')),
    // also without --out, so that the numbers of the groups do not depend on it
    ...fileTree('out', parts.out ?? parts.share, '0x1e', ',multidevs=remap'),
    ...(topology.disk === null
      ? []
      : [
          '-blockdev',
          `driver=raw,node-name=${topology.disk},file.driver=file,file.filename=${escaped(parts.disk)}`,
        ]),
    ...topology.devices.flatMap((device) => ['-device', device]),
  ];
};

const console = (arch: LabArch): string => `console=${archParts(arch).ports.console},115200`;

// a panic reboots at once, which -no-reboot makes the end of QEMU
const PANIC = 'panic=-1';

const BASE_PARAMETERS: Record<LabArch, readonly string[]> = {
  arm64: [PANIC],
  // on a busy host QEMU's timer can be late enough for the kernel to panic ("timer doesn't work through
  // Interrupt-remapped IO-APIC", check_timer in arch/x86/kernel/apic/io_apic.c)
  // self-tests of ciphers are a tenth of an emulated boot
  amd64: [PANIC, 'no_timer_check', 'cryptomgr.notests'],
};

const loglevel = (talkative: boolean): string => (talkative ? 'loglevel=7' : 'quiet loglevel=4');

const fileTree = (tag: string, path: string, slot: string, options: string): string[] => [
  ...['-fsdev', `local,id=${tag},path=${escaped(path)},security_model=none${options}`],
  ...['-device', `virtio-9p-pci,fsdev=${tag},mount_tag=${tag},addr=${slot}`],
];

/** QEMU reads a doubled comma as one that belongs to the value. */
const escaped = (value: string): string => value.replaceAll(',', ',,');
