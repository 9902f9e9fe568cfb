/** Names that people use for kinds of devices, and the class codes they stand for (PCI Code and ID Assignment). */
export const CLASS_FILTERS = {
  gpu: ['03'],
  nic: ['02'],
  nvme: ['0108'],
  usb: ['0c03'],
  audio: ['0401', '0403'],
  bridge: ['06'],
} as const satisfies Record<string, readonly string[]>;

export type ClassFilter = keyof typeof CLASS_FILTERS;

/** Whether a class code, such as `0c0330`, is of the kind that people call by this name. */
export const isOfClass = (classCode: string | null, filter: ClassFilter): boolean =>
  classCode !== null && CLASS_FILTERS[filter].some((prefix) => classCode.startsWith(prefix));

/** PCI-to-PCI and CardBus bridges: their header is not type 0, so vfio-pci never binds to them. */
export const isPciBridge = (classCode: string | null): boolean =>
  classCode !== null &&
  (classCode.startsWith('0604') || classCode.startsWith('0607') || classCode.startsWith('0609'));
