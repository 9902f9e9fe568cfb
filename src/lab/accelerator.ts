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
  const refusal = openRefusal(join(root, 'dev/kvm'));
  const usable = refusal === null;
  if (choice === 'auto') return usable && nests(root) ? 'kvm' : 'tcg';
  if (usable) return 'kvm';
  const forbidden = refusal === 'EACCES' || refusal === 'EPERM';
  throw new Failure({
    code: 'LAB_NO_KVM',
    kind: forbidden ? 'permission' : 'cannotDecide',
    what: 'The lab cannot use KVM.',
    why: forbidden
      ? `You may not open /dev/kvm for reading and writing (${refusal}).`
      : `There is no usable /dev/kvm (${refusal}).`,
    hint: `${forbidden ? 'Join the group that owns /dev/kvm' : '"kvfio doctor --for probe" says why'}, or leave --accel out: the lab then emulates the processor.`,
  });
};

/** Name of the error with which the kernel refuses this user the node; null when it does not. */
const openRefusal = (path: string): string | null => {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return null;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'EIO';
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
