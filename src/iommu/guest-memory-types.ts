import {isAtLeast, parseKernelRelease} from '../host/kernel-release.js';
import type {Kernel} from './kernel.js';

/** What KVM on Intel looks at for the memory types of a guest (vmx_get_mt_mask() in arch/x86/kvm/vmx/vmx.c). */
export interface GuestMemoryTypes {
  /** Whether KVM honours a non-coherent guest's MTRRs and CR0.CD, as it did until 6.11; it always honours its PAT. */
  mtrrs: boolean;
  /**
   * Whether KVM honours a coherent guest's PAT where KVM_X86_QUIRK_IGNORE_GUEST_PAT is off (6.16, and stable kernels from 6.12.78 on): a VMM may
   * switch it off on processors with self-snoop, and TDX has it off. Where it is off, all EPT is kept when coherency changes.
   */
  patQuirk: boolean;
  /** Whether KVM drops all EPT when a VM becomes coherent or ceases to be, since 6.7 (kvm_noncoherent_dma_assignment_start_or_stop()). */
  zaps: boolean;
}

/** What a kernel's KVM looks at; a kernel of unknown release is taken for the newest. */
export const guestMemoryTypes = ({release, stable}: Pick<Kernel, 'release' | 'stable'>): GuestMemoryTypes => {
  const version = parseKernelRelease(release ?? '');
  const since = (major: number, minor: number): boolean =>
    version === null || isAtLeast(version, major, minor);
  return {
    mtrrs: !since(6, 11),
    patQuirk: since(6, 16) || (version?.major === 6 && version.minor === 12 && (stable ?? 0) >= 78),
    zaps: since(6, 7),
  };
};
