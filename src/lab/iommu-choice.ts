import type {LabAccelerator} from './accelerator.js';

/** The IOMMUs that QEMU can give to the guest. */
export const LAB_IOMMUS = ['intel', 'intel-snoop', 'amd', 'virtio', 'smmuv3', 'none'] as const;

export type LabIommu = (typeof LAB_IOMMUS)[number];

export interface IommuChoice {
  /** QEMU's `-device` arguments. An IOMMU must come before the devices that it translates for. */
  devices: string[];
  /** What the kernel's command line needs. */
  kernelParameters: string[];
  /** Whether some kernels remap no interrupts with it; VFIO then has to be allowed to do without. */
  mayNotRemap: boolean;
}

const CHOICES: Record<LabIommu, IommuChoice> = {
  intel: {
    devices: ['intel-iommu,intremap=on,snoop-control=off'],
    kernelParameters: ['intel_iommu=on'],
    mayNotRemap: false,
  },
  'intel-snoop': {
    devices: ['intel-iommu,intremap=on,snoop-control=on'],
    kernelParameters: ['intel_iommu=on'],
    mayNotRemap: false,
  },
  // Linux 7.3 finds no southbridge IOAPIC in QEMU's IVRS table (check_ioapic_information, drivers/iommu/amd/init.c)
  amd: {devices: ['amd-iommu,intremap=on'], kernelParameters: [], mayNotRemap: true},
  // virtio-iommu remaps no interrupts at all
  virtio: {devices: ['virtio-iommu-pci,addr=0x1d'], kernelParameters: [], mayNotRemap: true},
  // a property of QEMU's machine (qemu.ts); the ITS of its GIC isolates interrupts
  smmuv3: {devices: [], kernelParameters: [], mayNotRemap: false},
  none: {devices: [], kernelParameters: [], mayNotRemap: false},
};

export const iommuChoice = (iommu: LabIommu): IommuChoice => CHOICES[iommu];

/**
 * QEMU's `-machine` argument of x86-64. With KVM, interrupt remapping needs the split interrupt chip
 * (hw/i386/x86-iommu.c of QEMU refuses otherwise).
 */
export const machineFor = (accelerator: LabAccelerator): string =>
  accelerator === 'kvm' ? 'q35,kernel-irqchip=split' : 'q35';
