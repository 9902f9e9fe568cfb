import {release} from 'node:os';
import {closeReleases} from '../../src/kvm-vfio/model/rules.js';
import {SyscallError} from '../../src/linux/errno.js';
import {KVM_DEV_TYPE_VFIO} from '../../src/linux/ioctl.js';
import {parseKernelRelease} from '../../src/host/kernel-release.js';
import type {Owner} from '../../src/owner/owner.js';

const version = parseKernelRelease(release());

/** Whether a VM may have a kvm-vfio device again when it has closed one; also true where only the stable number tells. */
export const CLOSE_RELEASES = version === null || closeReleases(version, null) !== false;

/**
 * Has an owner make a kvm-vfio device.
 *
 * @returns its descriptor; none where the kernel lets a VM have one in its life only, and refuses this one
 */
export const makeDevice = (owner: Pick<Owner, 'createDevice'>, vmFd: number): [fd: number] | [] => {
  try {
    return [owner.createDevice(vmFd, KVM_DEV_TYPE_VFIO)];
  } catch (error) {
    if (!CLOSE_RELEASES && error instanceof SyscallError && error.code === 'EBUSY') return [];
    throw error;
  }
};

/** Has an owner make a kvm-vfio device, and close it. */
export const makeAndClose = (owner: Owner, vmFd: number): void => {
  for (const fd of makeDevice(owner, vmFd)) owner.closeDescriptor(fd);
};
