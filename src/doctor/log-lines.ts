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
} as const;

export type LogTopic = keyof typeof TOPICS;

/** What the kernel log says of something, each message once; nothing where it may not be read. */
export const logLines = ({log}: Machine, topic: LogTopic): string[] => [
  ...new Set((log ?? []).filter((message) => TOPICS[topic].test(message))),
];
