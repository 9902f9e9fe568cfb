/** Commands that go together, and what they are for in at most 50 characters. */
export interface HelpSection {
  title: string;
  entries: readonly (readonly [ids: string[], text: string])[];
}

/** Where to find what. A command that is not here is shown at the end with its summary. */
export const HELP_MAP: readonly HelpSection[] = [
  {
    title: 'look',
    entries: [
      [['groups'], 'IOMMU groups, and whether their DMA is coherent'],
      [['vms', 'watch'], 'VMs of this host and their groups; what changes'],
      [['status'], 'one VM: its kvm-vfio device, and what WBINVD does'],
      [['doctor', 'export'], 'what this host lacks; its facts for other programs'],
      [['snapshot', 'diff'], 'a machine in one file; what differs of two'],
    ],
  },
  {
    title: 'assign',
    entries: [
      [['bind', 'unbind'], 'give whole groups to vfio-pci, and give them back'],
      [['run', 'vmm-args'], 'run a VMM with groups; only its arguments'],
      [['attach', 'detach'], 'tell KVM which groups a VM uses, and undo it'],
      [['create', 'add', 'delete'], 'the same, a single call at a time'],
    ],
  },
  {title: 'measure', entries: [[['probe'], 'what a WBINVD exit costs, and what it depends on']]},
  {
    title: 'try',
    entries: [[['lab', 'vm'], 'a guest with an emulated IOMMU; a minimal VM']],
  },
  {title: 'shell', entries: [[['completion', 'help'], 'completion for bash, zsh, fish; help of a command']]},
];

/** The typical round, and what each line is for. */
export const ROUND: readonly (readonly [line: string, text: string])[] = [
  ['doctor --for passthrough', 'is this host ready?'],
  ['groups --group 12 --explain', 'what would a VM get with it?'],
  ['bind --group 12', 'to vfio-pci'],
  ['probe --group 12 --allow-host-flush', 'what does its WBINVD cost?'],
  ['vms', 'start the VM; which process is it?'],
  ['attach --pid 4711 --group 12', 'tell KVM (--dry-run first)'],
  ['detach --pid 4711 --group 12', 'undo it; then: unbind --group 12'],
];
