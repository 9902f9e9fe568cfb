import type {Machine} from './machine.js';

/** What the kernel log is searched for. The wordings are those of the kernel, 5.10 to 7.3. */
const TOPICS = {
  /** arch/x86/kernel/cpu/feat_ctl.c, arch/x86/kvm/{vmx/vmx.c,svm/svm.c,x86.c} */
  'firmware-off':
    /^(?:x86\/cpu: (?:VMX|SVM).*disabled|(?:kvm\w*: )?(?:VMX not enabled|SVM disabled) \(by BIOS\)|kvm\w*: .*disabled by bios)/i,
  /** What back ends say of not starting. */
  kvm: /^kvm(?:[_-](?:intel|amd|pvm|hv)\b|\b(?![_-])).*(?:\bnot (?:supported|available|enabled|present)\b|\bno hardware\b|\bfail|unsupported|\bdenied|\brefus|\bbusy\b|\bunable\b|\bcannot\b|\brequire)/i,
  /** drivers/iommu/{intel,amd}/ of an IOMMU that firmware announces and the kernel does not start */
  iommu:
    /^(?:\[Firmware Bug\]: )?(?:DMAR|AMD-Vi|iommu)\b.*(?:\bfail|\bdisabl|\binvalid|\bbroken|\bunsupported|\bnot (?:supported|found|enabled)|\bunable)/i,
  /** What keeps interrupts from being remapped: drivers/iommu/intel/irq_remapping.c, drivers/iommu/amd/init.c */
  'interrupt-remapping':
    /^(?:DMAR-IR: (?:This system BIOS has enabled interrupt remapping|Failed to|.*x2apic opt out|.*not support)|AMD-Vi: (?:Disabling interrupt remapping|.*No southbridge IOAPIC|.*IOAPIC.*not in IVRS))/,
  /** What refused a device for it: vfio_iommu_type1_attach_group(), and iommufd_device_bind() in drivers/iommu/iommufd/device.c */
  'interrupts-refused':
    /^vfio_iommu_type1_attach_group: No interrupt remapping|^vfio[-_]\w+ \S+: MSI interrupts are not secure/,
  /** drivers/iommu/iommu.c, __iommu_device_set_domain(); before 6.6 drivers/iommu/intel/iommu.c, intel_iommu_attach_device() */
  'direct-region':
    /Firmware has requested this device have a 1:1 IOMMU mapping|Device is ineligible for IOMMU domain attach due to platform RMRR/,
  /** drivers/vfio/pci/vfio_pci.c, vfio_pci_is_denylisted() */
  denylist: /^vfio[-_]pci \S+: \S+ exists in vfio-pci device denylist/,
  /** drivers/pci/pci.c, __pci_request_region() */
  'reserved-memory': /^vfio[-_]pci \S+: BAR \d.*can't reserve/,
  /** drivers/pci/pci.c, pci_power_up(), pci_dev_wait() */
  inaccessible: /^vfio[-_]pci \S+: (?:.*from D3cold to D0.*inaccessible|not ready \d+ms after .*; giving up)/,
  /** drivers/vfio/vfio_iommu_type1.c, vfio_pin_pages_remote() */
  'locked-memory': /^vfio_\w+: RLIMIT_MEMLOCK \(-?\d+\) exceeded/,
} as const;

/** Whether anything is looked for in a message. */
export const isTelling = (message: string): boolean =>
  Object.values(TOPICS).some((pattern) => pattern.test(message));

export type LogTopic = keyof typeof TOPICS;

/** What the kernel log says of something, each message once; nothing where it may not be read. */
export const logLines = ({log}: Pick<Machine, 'log'>, topic: LogTopic): string[] => [
  ...new Set((log ?? []).filter((message) => TOPICS[topic].test(message))),
];
