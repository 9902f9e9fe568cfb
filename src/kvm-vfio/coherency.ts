import {guestMemoryTypes} from '../iommu/guest-memory-types.js';
import {isX86Name, type Kernel} from '../iommu/kernel.js';
import {DeviceModel, type VmCoherency} from './model/device.js';
import {rulesOf} from './model/rules.js';
import type {FileCoherency} from './model/enforced-coherent.js';
import {wbinvdOf} from './model/vm.js';

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

/** What KVM takes a VM with these files for, as the model of the device says, which predicts and reports. */
export const vmCoherency = (files: readonly Registration[], kernel: Kernel, cpu: Cpu): Coherency => {
  const entries = files.map((file) => ({file, registered: file.registered, lastVerdict: file.verdict}));
  const device = new DeviceModel(
    rulesOf(kernel),
    {kindOf: () => 'group', containerOf: () => 'unknown', enforcedCoherent: tellsVerdict},
    entries,
  );
  return coherencyInWords(device.coherency, kernel, cpu);
};

const tellsVerdict = ({verdict}: Registration): Registration['verdict'] => verdict;

/** The maker of the virtualization that KVM uses here; null when that is not known. */
export type Cpu = 'intel' | 'amd' | null;

/** A VM's coherency with what KVM does then; guest memory types are those of vmx_get_mt_mask() in arch/x86/kvm/vmx/vmx.c. */
export const coherencyInWords = (state: VmCoherency, kernel: Kernel, cpu: Cpu): Coherency => {
  const {architecture} = kernel;
  const {mtrrs, patQuirk} = guestMemoryTypes(kernel);
  if (architecture !== null && !isX86Name(architecture))
    return {state, wbinvd: 'nothing depends on it on this architecture'};
  switch (wbinvdOf(state)) {
    case 'skipped':
      return {
        state,
        wbinvd: `WBINVD is skipped${cpu === 'intel' ? `, guest memory types ignored${patQuirk ? ' unless its VMM has KVM heed them' : ''}` : ''}`,
      };
    case 'executed':
      return {
        state,
        wbinvd: `WBINVD is executed on every CPU the vCPU has dirtied${cpu === 'amd' ? '' : `, guest ${mtrrs ? 'memory types' : 'PAT'} honoured`}`,
      };
    case 'unknown':
      return {state, wbinvd: 'whether WBINVD is executed or skipped is unknown'};
  }
};
