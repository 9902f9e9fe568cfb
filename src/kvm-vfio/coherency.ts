import type {Device} from '../iommu/device.js';
import type {Group} from '../iommu/group.js';
import type {CoherencyRule, Kernel} from '../iommu/kernel.js';
import type {Confidence, Verdict} from '../iommu/snoop-control.js';
import type {Container} from '../vfio/group-file.js';

/** What KVM takes a VM for: all DMA of its devices is coherent with the CPU caches, or not. */
export type VmCoherency = 'coherent' | 'non-coherent' | 'unknown';

/** What KVM learns of a file when it is added. */
export interface FileCoherency {
  verdict: Verdict;
  confidence: Confidence;
}

/** A file that is, may be (null) or is not registered with a VM's kvm-vfio device. */
export interface Registration extends FileCoherency {
  registered: boolean | null;
}

/** A VM's coherency, and what follows from it. */
export interface Coherency {
  state: VmCoherency;
  /** What KVM does with WBINVD of the guest, in words. */
  wbinvd: string;
}

/**
 * What KVM takes a VM with these files for: the first one that is not coherent decides (kvm_vfio_update_coherency in
 * virt/kvm/vfio.c). The same code predicts and reports.
 */
export const vmCoherency = (files: readonly Registration[], kernel: Kernel, cpu: Cpu): Coherency => {
  const state = stateOf(files);
  return {state, wbinvd: consequence(state, kernel, cpu)};
};

const stateOf = (files: readonly Registration[]): VmCoherency => {
  if (files.some(({registered, verdict}) => registered === true && verdict === 'not-enforced'))
    return 'non-coherent';
  return files.some(({registered, verdict}) => registered !== false && verdict !== 'enforced')
    ? 'unknown'
    : 'coherent';
};

/** What KVM learns of a group by the rule of this kernel, given the container that the group is in. */
export const groupCoherency = (
  {snoopControl: {verdict, confidence}}: Group,
  rule: CoherencyRule,
  container: Container | 'unknown',
): FileCoherency => {
  if (rule === 'devices') return {verdict, confidence};
  // a group without a container has no domain that could be incoherent (vfio_file_enforced_coherent, before 6.2)
  if (container === 'none') return {verdict: 'enforced', confidence: 'exact'};
  if (container === 'type1') return {verdict, confidence};
  return {verdict: 'unknown', confidence: 'none'};
};

/** What KVM learns of a device by its cdev: its own (vfio_file_enforced_coherent in drivers/vfio/vfio_main.c, since 6.6). */
export const deviceCoherency = ({snoopControl: {verdict, confidence}}: Device): FileCoherency => ({
  verdict,
  confidence,
});

/** Whose virtualization KVM uses here; null when that is not known. */
export type Cpu = 'intel' | 'amd' | null;

/** What KVM does (need_emulate_wbinvd() in arch/x86/kvm/x86.c, vmx_get_mt_mask() in vmx/vmx.c). */
const consequence = (state: VmCoherency, {architecture}: Kernel, cpu: Cpu): string => {
  if (architecture !== null && !/^(?:x86_64|i[3-6]86)$/.test(architecture))
    return 'nothing depends on it on this architecture';
  switch (state) {
    case 'coherent':
      return 'WBINVD is skipped';
    case 'non-coherent':
      return `WBINVD is executed on every CPU the vCPU has dirtied${cpu === 'amd' ? '' : ', guest memory types honoured'}`;
    case 'unknown':
      return 'whether WBINVD is executed or skipped is unknown';
  }
};
