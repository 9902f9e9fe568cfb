interface GuardWords {
  /** When the guard refuses, to follow "bind even if". */
  refusesIf: string;
  /** How the host does without the device, to follow "To free it,". */
  toFree: string;
}

/**
 * The guards of `kvfio bind` and `kvfio unbind`: reasons for which kvfio does not take a device from the host, or from
 * VFIO. Names, flags (`--force-NAME`), help and hints are made from this table, in its order. The code of each guard is
 * in the file of its name, and guards.ts lists it.
 */
export const GUARDS = {
  mounted: {
    refusesIf: 'a file system on it is mounted, or one that another host shares through it (9p, virtiofs)',
    toFree: 'unmount the file system',
  },
  swap: {
    refusesIf: 'swap space on it is in use',
    toFree: 'end the swap with "swapoff"',
  },
  storage: {
    refusesIf:
      'it is a member of LVM, RAID or ZFS, in exclusive use, or open in a program, even as /dev/nvme0 or /dev/sg0',
    toFree: 'take the disk out of what it is a member of, and end the programs that have it open',
  },
  network: {
    refusesIf: 'its interface has an address or a default route, or a program uses the device',
    toFree: 'take the addresses and routes off the interface and set it down ("ip link set NAME down")',
  },
  display: {
    refusesIf: 'it is the boot display, or a program has it open',
    toFree: 'end the programs that have the display open, or boot with another one',
  },
  console: {
    refusesIf: 'it has a console of the kernel, or is the last display of one',
    toFree: 'boot with another console (console= on the command line of the kernel)',
  },
  platform: {
    refusesIf: 'it carries a TPM, or a watchdog that a program has open',
    toFree: 'end the program that has it open',
  },
  sriov: {
    refusesIf: 'it has virtual functions',
    toFree: 'remove the virtual functions ("echo 0 > sriov_numvfs" in the folder of the device)',
  },
  held: {
    refusesIf: 'a VM or another process has its group open',
    toFree:
      'detach the group with "kvfio detach" if kvfio attached it, or end the VM or program that has it open',
  },
  foreign: {
    refusesIf: 'kvfio did not give it to VFIO; the kernel then finds a driver for it',
    toFree: 'have the program that gave it to VFIO take it back',
  },
} as const satisfies Record<string, GuardWords>;

export type GuardName = keyof typeof GUARDS;

/** A guard that looks at the machine. `foreign` looks at kvfio's journal alone (foreign.ts). */
export type HostGuardName = Exclude<GuardName, 'foreign'>;

export const GUARD_NAMES = Object.keys(GUARDS) as GuardName[];

export const HOST_GUARDS = GUARD_NAMES.filter((name): name is HostGuardName => name !== 'foreign');
