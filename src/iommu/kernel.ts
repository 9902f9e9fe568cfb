import {parseKernelRelease, stableNumber, type KernelVersion} from '../host/kernel-release.js';
import type {Attributes} from '../host/attributes.js';
import {readCoherencyRule, type KernelCoherency} from './coherency-rule.js';
import {readKernelCode, type KernelCode} from './kernel-code.js';

/** The kernel of the machine, as far as it decides about coherency. */
export interface Kernel extends KernelCoherency, KernelCode {
  /** The release that `uname -r` prints; null when it could not be read. */
  release: string | null;
  /** 192 of 6.1.192, even if the release hides it; null when the machine does not show it. */
  stable: number | null;
  /** Architecture as `uname -m` says, or null: kernels before 6.1 do not show it in /proc. */
  architecture: string | null;
  /** Parameters of the command line that concern IOMMU, VFIO, PCI or KVM; null when it could not be read. */
  parameters: string[] | null;
}

/** Whether `uname -m` names one of x86: only there KVM does anything with coherency. */
export const isX86Name = (architecture: string): boolean => /^(?:x86_64|i[3-6]86)$/.test(architecture);

export const PROC_VERSION = '/proc/version';

/** `version` is that of its code. */
export const readKernel = (attributes: Attributes): Kernel & {version: KernelVersion | null} => {
  const release = attributes.text('/proc/sys/kernel/osrelease', 'expected');
  const version = release === null ? null : parseKernelRelease(release);
  if (release !== null && version === null) {
    attributes.malformed('/proc/sys/kernel/osrelease', `"${release.slice(0, 40)}" is not a kernel release`);
  }
  const code = readKernelCode(attributes, release, version);
  const commandLine = attributes.text('/proc/cmdline', 'expected');
  return {
    release,
    stable:
      release === null
        ? null
        : (stableNumber(release, null) ?? stableNumber(release, attributes.text(PROC_VERSION))),
    architecture: attributes.text('/proc/sys/kernel/arch'),
    parameters: commandLine === null ? null : relevantParameters(commandLine),
    ...readCoherencyRule(attributes, release, version),
    ...code,
    version: code.codeVersion === null ? null : parseKernelRelease(code.codeVersion),
  };
};

/** The parameters that matter here. The rest may hold what its owner would not publish, so nobody else sees it. */
export const relevantParameters = (commandLine: string): string[] =>
  (commandLine.match(/(?:[^\s"]|"[^"]*")+/g) ?? []).filter((parameter) => RELEVANT.test(parameter));

const RELEVANT =
  /^(?:(?:intel_|amd_)?iommu|iommu(?:fd)?\.\w+|arm-smmu\S*|pcie_acs_override|pci|intremap|nointremap|vfio\S*|kvm\S*|nopat|mem_encrypt|(?:module_|modprobe\.|initcall_)blacklist)(?:=|$)/;
