import {parseKernelRelease, isAtLeast, type KernelVersion} from '../linux/kernel-release.js';
import type {Attributes} from './attributes.js';

/**
 * How a kernel decides whether a VFIO group is coherent, that is what KVM learns on ADD
 * (virt/kvm/vfio.c, kvm_vfio_update_coherency):
 *
 * - `devices`, since 6.2: every device of the group that is bound to a VFIO driver when ADD runs has an IOMMU that
 *   enforces coherency; containers do not matter (drivers/vfio/group.c, vfio_group_enforced_coherent).
 * - `container`, 5.19 to 6.1: every domain of the group's container enforces it, and a domain does when the unit of
 *   every member does; no container counts as coherent (vfio_main.c, vfio_file_enforced_coherent).
 * - `all-units`, before 5.19: as `container`, but for Intel every active unit of the host must have snoop control.
 */
export type CoherencyRule = 'devices' | 'container' | 'all-units';

/** The kernel of the machine, as far as it decides about coherency. */
export interface Kernel {
  /** As `uname -r` says, or null when it could not be read. */
  release: string | null;
  /** Architecture as `uname -m` says, or null: kernels before 6.1 do not show it in /proc. */
  architecture: string | null;
  /** Parameters of the command line that concern IOMMU, VFIO, PCI or KVM; null when it could not be read. */
  parameters: string[] | null;
  /** Null release: the rule of current kernels is assumed. */
  coherencyRule: CoherencyRule;
}

export const readKernel = (attributes: Attributes): Kernel & {version: KernelVersion | null} => {
  const release = attributes.text('/proc/sys/kernel/osrelease', 'expected');
  const version = release === null ? null : parseKernelRelease(release);
  if (release !== null && version === null) {
    attributes.malformed('/proc/sys/kernel/osrelease', `"${release.slice(0, 40)}" is no kernel release`);
  }
  const commandLine = attributes.text('/proc/cmdline', 'expected');
  return {
    release,
    architecture: attributes.text('/proc/sys/kernel/arch'),
    parameters: commandLine === null ? null : relevantParameters(commandLine),
    coherencyRule: coherencyRule(version),
    version,
  };
};

/** The parameters that matter here. The rest may hold what its owner would not publish, so nobody else sees it. */
export const relevantParameters = (commandLine: string): string[] =>
  (commandLine.match(/(?:[^\s"]|"[^"]*")+/g) ?? []).filter((parameter) => RELEVANT.test(parameter));

const RELEVANT =
  /^(?:(?:intel_|amd_)?iommu|iommu\.\w+|arm-smmu\S*|pcie_acs_override|pci|intremap|nointremap|vfio\S*|kvm\S*|nopat|mem_encrypt|(?:module_|modprobe\.|initcall_)blacklist)(?:=|$)/;

/** Null version: that of current kernels. */
export const coherencyRule = (version: KernelVersion | null): CoherencyRule => {
  if (version === null || isAtLeast(version, 6, 2)) return 'devices';
  return isAtLeast(version, 5, 19) ? 'container' : 'all-units';
};
