import {refusedDeleteLooks} from '../iommu/kernel.js';
import {parseKernelRelease} from '../linux/kernel-release.js';
import type {FileOutcome} from './apply.js';

/**
 * Whether KVM looked at all files again when it gave this answer; null when that is not known.
 *
 * An ADD or DEL that succeeds has it look (kvm_vfio_file_add and kvm_vfio_file_del in virt/kvm/vfio.c), and an ADD that
 * is answered EEXIST does not; of a DEL that is answered ENOENT see {@link refusedDeleteLooks}.
 *
 * @param release - of the kernel, as `uname -r` says
 */
export const looksAgain = (answer: FileOutcome, release: string | null): boolean | null => {
  if (answer !== 'absent') return answer !== 'already';
  return refusedDeleteLooks(release === null ? null : parseKernelRelease(release));
};

/** Whether KVM looked at least once; null when that is not known. */
export const anyLooks = (looks: readonly (boolean | null)[]): boolean | null =>
  looks.includes(true) ? true : looks.includes(null) ? null : false;
