import type {CoherencyRule} from '../../iommu/coherency-rule.js';
import type {Kernel} from '../../iommu/kernel.js';
import {isAtLeast, parseKernelRelease, type KernelVersion} from '../../host/kernel-release.js';

/** What the kernel's kvm-vfio device does differently from version to version. */
export interface KernelRules {
  /** How VFIO answers KVM about a group. */
  coherency: CoherencyRule;
  /** ADD takes open devices as well as groups, since 6.6 (drivers/vfio/vfio_main.c, vfio_file_is_valid). */
  takesDevices: boolean;
  /** ADD takes groups only that are in a container with an IOMMU driver, before 5.19 (drivers/vfio/vfio.c, vfio_group_add_container_user). */
  needsContainer: boolean;
  /** See {@link refusedDeleteLooks}. */
  refusedDeleteLooks: boolean | null;
  /** See {@link closeReleases}; true where the release is not known, and false where only its stable number is not. */
  closeReleases: boolean;
}

/** The rules of a kernel; those of current ones where its release is not known. */
export const rulesOf = ({
  release,
  codeVersion = release,
  stable,
  coherencyRule,
}: Pick<Kernel, 'release' | 'stable' | 'coherencyRule'> &
  Partial<Pick<Kernel, 'codeVersion'>>): KernelRules => {
  const version = codeVersion === null ? null : parseKernelRelease(codeVersion);
  return {
    coherency: coherencyRule,
    takesDevices: version === null || isAtLeast(version, 6, 6),
    needsContainer: coherencyRule === 'all-units',
    refusedDeleteLooks: refusedDeleteLooks(version),
    closeReleases: version === null || closeReleases(version, stable) === true,
  };
};

/**
 * Whether a DEL that is answered ENOENT has KVM look at the coherency of all files again, as one that succeeds does
 * (virt/kvm/vfio.c): it does up to Linux 6.18, does not since 7.2, and changed in between. Null when that is not known.
 */
export const refusedDeleteLooks = (version: KernelVersion | null): boolean | null => {
  if (version === null) return null;
  if (!isAtLeast(version, 6, 19)) return true;
  return isAtLeast(version, 7, 2) ? false : null;
};

/**
 * Whether closing the device lets its files go and makes room for another one: since 6.2 and 6.1.9 (virt/kvm/vfio.c,
 * kvm_vfio_release, which was kvm_vfio_destroy before). Null for a 6.1 whose stable number is not known.
 */
export const closeReleases = (version: KernelVersion, stable: number | null): boolean | null => {
  if (version.major !== 6 || version.minor !== 1) return isAtLeast(version, 6, 2);
  return stable === null ? null : stable >= 9;
};
