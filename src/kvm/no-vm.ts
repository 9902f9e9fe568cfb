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

const NO_KVM =
  'Run "kvfio doctor --for probe", which says what is missing and how to cure it, or try it in "kvfio lab", whose guest has a KVM.';

const REASONS: Record<string, [Failure['kind'], string, string]> = {
  ENOENT: ['cannotDecide', 'There is no /dev/kvm.', NO_KVM],
  ENODEV: ['cannotDecide', '/dev/kvm has no driver.', NO_KVM],
  EACCES: ['permission', 'You may not open /dev/kvm.', 'Join the group kvm, or run kvfio as root.'],
  EPERM: ['permission', 'A security policy keeps you from /dev/kvm.', 'Run kvfio outside the container.'],
};
