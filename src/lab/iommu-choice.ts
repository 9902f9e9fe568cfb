import type {LabAccelerator} from './accelerator.js';

/** The IOMMUs that QEMU can give to the guest. */
export const LAB_IOMMUS = ['intel', 'intel-snoop', 'amd', 'virtio', 'none'] as const;

export type LabIommu = (typeof LAB_IOMMUS)[number];

export interface IommuChoice {
  /** QEMU's `-device` arguments. An IOMMU must come before the devices that it translates for. */
  devices: string[];
  /** What the kernel's command line needs. */
  kernelParameters: string[];
}

// Without interrupt remapping VFIO_SET_IOMMU answers EPERM (vfio_iommu_type1_attach_group, 6.1 and 6.12)
const CHOICES: Record<LabIommu, IommuChoice> = {
  intel: {
    devices: ['intel-iommu,intremap=on,snoop-control=off'],
    kernelParameters: ['intel_iommu=on'],
  },
  'intel-snoop': {
    devices: ['intel-iommu,intremap=on,snoop-control=on'],
    kernelParameters: ['intel_iommu=on'],
  },
  amd: {devices: ['amd-iommu,intremap=on'], kernelParameters: []},
  // virtio-iommu remaps no interrupts at all
  virtio: {
    devices: ['virtio-iommu-pci,addr=0x1d'],
    kernelParameters: ['vfio_iommu_type1.allow_unsafe_interrupts=1', 'iommufd.allow_unsafe_interrupts=1'],
  },
  none: {devices: [], kernelParameters: []},
};

export const iommuChoice = (iommu: LabIommu): IommuChoice => CHOICES[iommu];

/**
 * QEMU's `-machine` argument. With KVM, interrupt remapping needs the split interrupt chip
 * (hw/i386/x86-iommu.c of QEMU refuses otherwise).
 */
export const machineFor = (accelerator: LabAccelerator): string =>
  accelerator === 'kvm' ? 'q35,kernel-irqchip=split' : 'q35';
