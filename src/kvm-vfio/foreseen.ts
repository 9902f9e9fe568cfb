import {constants} from 'node:os';
import type {Failure} from '../failure.js';
import {SyscallError} from '../linux/errno.js';
import type {OwnerWay} from '../vm/owner.js';
import {refused} from './apply.js';
import type {VmFacts} from './facts.js';
import type {Plan, Step} from './plan.js';

/**
 * The refusal that a plan certainly meets, told as it is when it is met; null when none is certain. What is refused and taken for
 * success is none.
 */
export const foreseenRefusal = (plan: Plan, facts: VmFacts, way: OwnerWay): Failure | null => {
  for (const step of plan.steps) {
    const code = answerTo(step, facts);
    if (code !== null) return refused(step, new SyscallError(REQUESTS[code], constants.errno[code]), way);
  }
  return null;
};

/** The requests that are answered so, see `kvm_vfio_create` and `kvm_vfio_file_add` and `_del` in virt/kvm/vfio.c. */
const REQUESTS = {
  EBUSY: 'ioctl(KVM_CREATE_DEVICE)',
  EEXIST: 'ioctl(KVM_SET_DEVICE_ATTR)',
  ENOENT: 'ioctl(KVM_SET_DEVICE_ATTR)',
} as const;

const answerTo = (step: Step, {device, held}: VmFacts): keyof typeof REQUESTS | null => {
  if (step.action === 'create-device') return device === null ? null : 'EBUSY';
  if ((step.action !== 'add' && step.action !== 'delete') || step.settles) return null;
  const registered = held.find(({fd}) => fd === step.file.fd)?.registered ?? null;
  if (registered === (step.action === 'add')) return step.action === 'add' ? 'EEXIST' : 'ENOENT';
  return null;
};
