import {accessSync, constants, readFileSync} from 'node:fs';
import {join} from 'node:path';
import {Failure} from '../failure.js';

export type LabAccelerator = 'kvm' | 'tcg';

export const ACCELERATOR_CHOICES = ['auto', 'kvm', 'tcg'] as const;

export type AcceleratorChoice = (typeof ACCELERATOR_CHOICES)[number];

/**
 * Decides how QEMU executes the guest. `auto` takes KVM only where the guest gets a KVM of its own from it, that
 * is where the host nests; TCG emulates nested SVM everywhere.
 *
 * @param root where `dev` and `sys` are looked up
 */
export const chooseAccelerator = (choice: AcceleratorChoice, root = '/'): LabAccelerator => {
  if (choice === 'tcg') return 'tcg';
  const usable = canOpen(join(root, 'dev/kvm'));
  if (choice === 'auto') return usable && nests(root) ? 'kvm' : 'tcg';
  if (usable) return 'kvm';
  throw new Failure({
    code: 'LAB_NO_KVM',
    kind: 'permission',
    what: 'The lab cannot use KVM.',
    why: '/dev/kvm cannot be opened for reading and writing.',
    hint: 'Join the group that owns /dev/kvm, or leave --accel out: the lab then emulates the processor.',
  });
};

const canOpen = (path: string): boolean => {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
};

const nests = (root: string): boolean =>
  ['kvm_amd', 'kvm_intel'].some((module) => {
    try {
      return /^[Y1]/.test(readFileSync(join(root, 'sys/module', module, 'parameters/nested'), 'utf8'));
    } catch {
      return false;
    }
  });
