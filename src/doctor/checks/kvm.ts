import type {HostCheck} from '../check.js';
import {fail, ofLive, pass, unknown} from '../check.js';
import {kvmAccess} from '../kvm-access.js';
import {machineNames, machineText, type Machine} from '../machine.js';
import {flaglessBackEnd, noVirtualization, virtualizationFlag, whyNoKvm} from '../why-no-kvm.js';

/** KVM itself: the processor, the module, the node, the interface. */
export const KVM_CHECKS: readonly HostCheck[] = [
  {
    id: 'cpu-virtualization',
    title: 'the processor can virtualize',
    otherwise: 'the processor cannot virtualize',
    matters: 'KVM needs VT-x or SVM of the processor, or a back end that does without',
    neededFor: ['probe', 'passthrough'],
    look: (machine) => {
      const flag = virtualizationFlag(machine);
      if (flag !== null) return pass(`the processor has ${flag}`);
      if (isRegistered(machine)) {
        const backEnd = flaglessBackEnd(machine);
        return pass(`KVM runs${backEnd === null ? '' : ` with the back end ${backEnd}`}`);
      }
      const obstacle = noVirtualization(machine);
      return obstacle === null
        ? unknown('/proc/cpuinfo does not show the flags of an x86 processor')
        : fail(obstacle.seen, obstacle.remedy);
    },
  },
  {
    id: 'kvm',
    title: 'KVM runs',
    otherwise: 'KVM does not run',
    matters: 'without /dev/kvm there are no VMs that kvfio could manage or measure',
    neededFor: ['attach', 'probe', 'passthrough'],
    look: (machine) => {
      if (!isRegistered(machine)) {
        const {seen, remedy} = whyNoKvm(machine);
        return fail(seen, remedy);
      }
      return machine.live?.nodeError('/dev/kvm') === 'ENOENT'
        ? fail(
            'the kernel has KVM, but this /dev has no node of it',
            'give the container /dev/kvm (docker and podman: --device /dev/kvm), or on the host run "mknod --mode=660 /dev/kvm c 10 232" as root',
          )
        : pass(machine.live === null ? 'the kernel has its device' : '/dev/kvm is there');
    },
  },
  {
    id: 'kvm-access',
    title: 'you may use KVM',
    otherwise: 'you may not use KVM',
    matters: 'creating a VM needs read and write access to /dev/kvm',
    neededFor: ['probe', 'passthrough'],
    look: ofLive(kvmAccess),
  },
  {
    id: 'kvm-device-control',
    title: 'KVM makes devices (KVM_CREATE_DEVICE)',
    otherwise: 'KVM makes no devices (KVM_CREATE_DEVICE)',
    matters: 'the kvm-vfio device is created through this interface',
    neededFor: ['attach', 'passthrough'],
    look: ofLive(({distribution}, {kvm}) => {
      if (kvm?.opened !== true || kvm.createVm !== null) return unknown('KVM could not be asked');
      return kvm.createDevice === 'ENOTTY'
        ? fail('KVM_CREATE_DEVICE is answered ENOTTY', distribution.otherKernel('Linux 3.10 or newer'))
        : pass('KVM knows KVM_CREATE_DEVICE');
    }),
  },
  {
    id: 'kvm-vfio',
    title: 'KVM makes kvm-vfio devices',
    otherwise: 'KVM makes no kvm-vfio devices',
    matters:
      'without one KVM does not learn of VFIO groups, and a VM with such a device may be coherent only in name',
    neededFor: ['attach', 'passthrough'],
    look: ofLive(({distribution}, {kvm}) => {
      if (kvm?.opened !== true || kvm.createVm !== null) return unknown('KVM could not be asked');
      if (kvm.createDevice === null) return pass('KVM_CREATE_DEVICE made one');
      const seen = `KVM_CREATE_DEVICE is answered ${kvm.createDevice}`;
      return kvm.createDevice === 'ENODEV'
        ? fail(seen, distribution.otherKernel('CONFIG_KVM_VFIO'))
        : unknown(seen);
    }),
  },
];

/** Whether the kernel itself has the device, whatever /dev has. */
const isRegistered = (machine: Machine): boolean =>
  machine.live?.kvm?.opened === true ||
  machineNames(machine, '/sys/class/misc/kvm') !== null ||
  /^ *\d+ kvm$/m.test(machineText(machine, '/proc/misc') ?? '');
