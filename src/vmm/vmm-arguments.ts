/** The VMMs whose arguments kvfio knows. */
export const VMM_NAMES = ['qemu', 'cloud-hypervisor', 'crosvm'] as const;

export type VmmName = (typeof VMM_NAMES)[number];

interface VmmForm {
  /** Names of its programs. */
  programs: RegExp;
  /** The arguments that give it PCI devices by their addresses. */
  args: (addresses: readonly string[]) => string[];
}

/**
 * How a VMM is given devices whose groups it opens by itself.
 *
 * Sources: qemu-system-x86_64 -device vfio-pci,help; docs/vfio.md of cloud-hypervisor; `crosvm run --help`.
 */
const FORMS: Readonly<Record<VmmName, VmmForm>> = {
  qemu: {
    programs: /^(?:qemu-system-\w+|qemu-kvm|kvm)$/,
    args: (addresses) => addresses.flatMap((address) => ['-device', `vfio-pci,host=${address}`]),
  },
  'cloud-hypervisor': {
    programs: /^cloud-hypervisor(?:-static)?$/,
    // it takes the flag once, with all its values
    args: (addresses) => ['--device', ...addresses.map((address) => `path=${folderOf(address)}/`)],
  },
  crosvm: {
    programs: /^crosvm$/,
    args: (addresses) => addresses.flatMap((address) => ['--vfio', folderOf(address)]),
  },
};

const folderOf = (address: string): string => `/sys/bus/pci/devices/${address}`;

export const vmmArguments = (vmm: VmmName, addresses: readonly string[]): string[] =>
  FORMS[vmm].args(addresses);

/** Which VMM a program is, by its name; null for one that kvfio does not know. */
export const vmmOf = (program: string): VmmName | null => {
  const name = program.slice(program.lastIndexOf('/') + 1);
  return VMM_NAMES.find((vmm) => FORMS[vmm].programs.test(name)) ?? null;
};

/** Where a command line wants the arguments; at its end where it does not say. */
export const PLACE = '{vfio}';

/** A command line with the arguments in their place. */
export const withArguments = (command: readonly string[], args: readonly string[]): string[] =>
  command.includes(PLACE)
    ? command.flatMap((word) => (word === PLACE ? args : [word]))
    : [...command, ...args];
