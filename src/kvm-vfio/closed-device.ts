import type {Remark} from './change-document.js';
import type {VmState} from './vm-state.js';
import {rulesOf} from './model/rules.js';

/**
 * Whether the VM may have a kvm-vfio device that nobody has open any more, which no place shows: see
 * {@link KernelRules.closeReleases}.
 *
 * @param device - the one that is seen
 */
export const mayHaveClosedOne = ({host, ambiguous}: VmState, device: number | null): boolean =>
  device === null && !ambiguous && !rulesOf(host.kernel).closeReleases;

export const UNSEEN_DEVICE: Remark = {
  code: 'CLOSED_DEVICE_UNSEEN',
  message:
    'before Linux 6.1.9 a kvm-vfio device that its owner closes lives as long as the VM, and its groups with it: whether this VM has such a one cannot be seen, and if it has, another one is answered EBUSY',
};
