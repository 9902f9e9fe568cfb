import {Flags} from '@oclif/core';
import {ChangeCommand} from '../cli/change-command.js';
import {dryRunFlag, fileFlags, namedFiles, vmFlags} from '../cli/vm-flags.js';
import type {ChangeDocument} from '../kvm-vfio/change-document.js';
import {CONTAINERS} from '../vfio/group-file.js';

export default class Attach extends ChangeCommand {
  static override summary = 'Tell KVM which VFIO groups or devices a VM uses.';

  static override description = `Makes the kvm-vfio device of the VM when it has none, opens each group or device unless the VM's owner has it open, hands it to the owner, and adds it. Several are attached all or none. What is attached already is left as it is, with exit code 0 and "changed": false.

From then on KVM knows whether DMA of these is cache coherent, and so whether WBINVD of the guest has to be executed. The attachment lives in the VM's owner: it holds when kvfio has ended, and all is free when the VM ends.

--cdev names a device in place of its group, for a VMM that uses it through IOMMUFD. Attach it before the VMM binds it.`;

  static override usage = 'attach (--vm-sock PATH | --pid PID) (--group N | --cdev BDF)... [FLAGS]';

  static override examples = [
    {
      description: 'Group 12, and the VM at a socket',
      command: '<%= config.bin %> <%= command.id %> --vm-sock /run/vm.sock --group 12',
    },
    {
      description: 'Two groups, and any VM',
      command: '<%= config.bin %> <%= command.id %> --pid 4711 --group 12 --group 13',
    },
    {
      description: 'A device, through its own node in place of its group',
      command: '<%= config.bin %> <%= command.id %> --pid 4711 --cdev 0000:01:00.0',
    },
    {
      description: 'What would be done, and what be true then',
      command: '<%= config.bin %> <%= command.id %> --pid 4711 --group 12 --dry-run',
    },
  ];

  static override flags = {
    ...fileFlags,
    container: Flags.option({options: CONTAINERS})({
      helpGroup: 'SETUP',
      description:
        'what a group is put into that the owner does not have open yet: type1 is an IOMMU domain of its own, which stops DMA of its devices until it is mapped; the default is none, but type1 on kernels before 6.2, which ask the container for coherency',
      dependsOn: ['group'],
    }),
    create: Flags.option({
      options: ['if-missing', 'never'] as ('if-missing' | 'never')[],
      default: 'if-missing' as 'if-missing' | 'never',
    })({
      helpGroup: 'SETUP',
      description:
        'what to do for a VM without a kvm-vfio device; a VMM that will make its own needs "never"',
    }),
    'dry-run': dryRunFlag,
    ...vmFlags,
  };

  async run(): Promise<ChangeDocument> {
    const {flags} = await this.parse(Attach);
    const {container, create} = flags;
    return this.change({command: 'attach', files: namedFiles(flags), container, create}, flags);
  }
}
