/** The largest number that the kernel has for a process, a descriptor, an IOMMU group or a CPU: all are an int. */
export const INT_MAX = 2_147_483_647;
