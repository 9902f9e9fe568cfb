import {Failure} from '../failure.js';
import type {SyscallError} from '../linux/errno.js';

/** What it means that the kernel refused a step of making a VM. */
export const noVm = (error: SyscallError): Failure => {
  const [kind, why, hint] = REASONS[error.code] ?? [
    'kernelRefused',
    `The kernel answered ${error.code} to ${error.syscall}.`,
    'Look at the messages of KVM with dmesg.',
  ];
  return new Failure({
    code: 'NO_VM_CREATED',
    kind,
    what: 'No VM could be created.',
    why,
    hint,
    errno: error.code,
    cause: error,
  });
};

const REASONS: Record<string, [Failure['kind'], string, string]> = {
  ENOENT: [
    'cannotDecide',
    'There is no /dev/kvm.',
    'Load kvm_intel or kvm_amd, and switch on virtualization in the firmware; in a VM, have its host allow nested virtualization.',
  ],
  ENODEV: [
    'cannotDecide',
    '/dev/kvm has no driver.',
    'Load kvm_intel or kvm_amd, and switch on virtualization in the firmware; in a VM, have its host allow nested virtualization.',
  ],
  EACCES: ['permission', 'You may not open /dev/kvm.', 'Join the group kvm, or run kvfio as root.'],
  EPERM: ['permission', 'A security policy keeps you from /dev/kvm.', 'Run kvfio outside the container.'],
};
