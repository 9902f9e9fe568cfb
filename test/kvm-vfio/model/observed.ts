/** What can be seen of a machine after each operation. */
export interface Observed {
  /** Of each open descriptor, by its slot: the link in /proc/self/fd, and of a group its status. */
  descriptors: Record<number, string>;
  /** Of each group by its number: whether another open of it is answered `done`, EBUSY or ENOENT. */
  groups: Record<number, string>;
  /** How often KVM has taken a VM for non-coherent so far, and back; null where that is not seen. */
  count: [on: number, off: number] | null;
  /** Of each VM with a descriptor, by the slot of its first: what KVM does with WBINVD; null where that is not seen. */
  wbinvd: Record<number, 'skipped' | 'executed'> | null;
}

/** The machine that operations are about. */
export interface Machine {
  /** IOMMU groups with the addresses of their devices, all of which vfio-pci has at first. */
  groups: {id: number; devices: string[]}[];
  /** Whether VFIO devices have nodes of their own. */
  cdevs: boolean;
}
