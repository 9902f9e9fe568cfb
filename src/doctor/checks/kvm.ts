import type {Check} from '../check.js';
import {fail, pass, unknown} from '../check.js';
import {namesIn, textOf, type Machine} from '../machine.js';

/** KVM itself: the processor, the module, the node, the interface. */
export const KVM_CHECKS: readonly Check[] = [
  {
    id: 'cpu-virtualization',
    title: 'the processor can virtualize',
    matters: 'KVM needs VT-x or SVM of the processor, or a back end that does without',
    neededFor: ['probe', 'passthrough'],
    look: (machine) => {
      const [backEnd] = backEnds(machine);
      const flags = /^flags\s*:(.*)$/m.exec(textOf(machine, '/proc/cpuinfo', CPUINFO) ?? '')?.[1] ?? null;
      const flag = flags?.split(' ').find((word) => word === 'vmx' || word === 'svm');
      if (flag !== undefined) return pass(`the processor has ${flag}`);
      if (backEnd !== undefined) return pass(`the KVM back end ${backEnd} runs`);
      if (isOpen(machine)) return pass('/dev/kvm works');
      if (flags === null) return unknown('/proc/cpuinfo does not show the flags of an x86 processor');
      return fail(
        'the processor shows neither vmx nor svm',
        flags.split(' ').includes('hypervisor')
          ? 'have the hypervisor expose nested virtualization to this virtual machine'
          : 'enable VT-x or SVM in the firmware set-up',
      );
    },
  },
  {
    id: 'kvm',
    title: 'KVM runs',
    matters: 'without /dev/kvm there are no VMs that kvfio could manage or measure',
    neededFor: ['attach', 'probe', 'passthrough'],
    look: (machine) => {
      const {distribution, nodeError, config} = machine;
      const missing = nodeError('/dev/kvm') === 'ENOENT';
      const known = namesIn(machine, '/sys/class/misc/kvm') !== null;
      if (!missing && (known || isOpen(machine))) return pass('/dev/kvm is there');
      if (known)
        return fail(
          'the kernel has KVM, but this /dev has no node of it',
          'run kvfio on the host itself, or give the container /dev/kvm',
        );
      const module = /\bvendor_id\s*: GenuineIntel/.test(textOf(machine, '/proc/cpuinfo', CPUINFO) ?? '')
        ? 'kvm_intel'
        : 'kvm_amd';
      return fail(
        'the kernel has no device "kvm"',
        config?.option('CONFIG_KVM') === 'n'
          ? distribution.otherKernel('CONFIG_KVM')
          : distribution.loadModule(module),
      );
    },
  },
  {
    id: 'kvm-access',
    title: 'you may use KVM',
    matters: 'creating a VM needs read and write access to /dev/kvm',
    neededFor: ['probe', 'passthrough'],
    look: ({kvm, nodeError, distribution}) => {
      const errno = kvm === null ? nodeError('/dev/kvm') : kvm.opened ? null : kvm.errno;
      if (errno === null)
        return kvm?.opened === true && kvm.createVm !== null
          ? fail(`KVM_CREATE_VM is answered ${kvm.createVm}`, 'look at the messages of KVM with dmesg')
          : pass('/dev/kvm can be opened');
      if (errno === 'EACCES' || errno === 'EPERM')
        return fail(`/dev/kvm is answered ${errno}`, distribution.joinGroup('kvm'));
      return unknown(`/dev/kvm is answered ${errno}`);
    },
  },
  {
    id: 'kvm-device-control',
    title: 'KVM makes devices (KVM_CREATE_DEVICE)',
    matters: 'the kvm-vfio device is created through this interface',
    neededFor: ['attach', 'passthrough'],
    look: ({kvm, distribution}) => {
      if (kvm?.opened !== true || kvm.createVm !== null) return unknown('KVM could not be asked');
      return kvm.createDevice === 'ENOTTY'
        ? fail('KVM_CREATE_DEVICE is answered ENOTTY', distribution.otherKernel('Linux 3.10 or newer'))
        : pass('KVM knows KVM_CREATE_DEVICE');
    },
  },
  {
    id: 'kvm-vfio',
    title: 'KVM makes kvm-vfio devices',
    matters:
      'without one KVM is not told of VFIO groups, and a VM with such a device may be coherent only in name',
    neededFor: ['attach', 'passthrough'],
    look: ({kvm, distribution}) => {
      if (kvm?.opened !== true || kvm.createVm !== null) return unknown('KVM could not be asked');
      if (kvm.createDevice === null) return pass('KVM_CREATE_DEVICE made one');
      const seen = `KVM_CREATE_DEVICE is answered ${kvm.createDevice}`;
      return kvm.createDevice === 'ENODEV'
        ? fail(seen, distribution.otherKernel('CONFIG_KVM_VFIO'))
        : unknown(seen);
    },
  },
];

/** The first processor's part is enough, but a file is read whole; it has about 1.5 KB for each of up to 8,192. */
const CPUINFO = 16 * 1024 * 1024;

const isOpen = ({kvm}: Machine): boolean => kvm?.opened === true;

/** Modules that bring /dev/kvm, loaded or built in. */
const backEnds = (machine: Machine): string[] =>
  (namesIn(machine, '/sys/module') ?? []).filter((name) => /^kvm_(?:intel|amd|pvm)$/.test(name));
