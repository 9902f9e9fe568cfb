import {Flags} from '@oclif/core';
import {ChangeCommand} from '../cli/change-command.js';
import {dryRunFlag, fileFlags, vmFlags} from '../cli/flags/vm-flags.js';
import type {ChangeDocument} from '../kvm-vfio/change-document.js';
import {CONTAINERS} from '../vfio/group-file.js';

export default class Attach extends ChangeCommand {
  static override summary = 'Tell KVM which VFIO groups or devices a VM uses.';

  static override description = `KVM then knows whether the DMA of these devices is cache coherent, and so whether it must execute the guest's WBINVD. kvfio creates the VM's kvm-vfio device if there is none.

kvfio acts through the VM's owner, the process that created the VM: KVM accepts these calls from no other process. --via says how. An agent is code in the VMM that speaks kvfio's protocol on the socket and makes the calls. To inject a call means that kvfio stops one thread of the owner for less than a millisecond and has it make the call.

kvfio opens each group or device and hands it over, so that the owner has a descriptor of it; it skips this for one that the owner has open. The attachment lives in the owner: it stays when kvfio ends, and it ends with the VM.

kvfio attaches everything that is named, or nothing. It leaves alone what is attached already; if that is all, it exits with 0, and --json says "changed": false.

--cdev names a device in place of its group, for a VMM that uses it through IOMMUFD. Attach the device before the VMM binds it.`;

  static override usage = 'attach (--vm-sock PATH | --pid PID) (--group N | --cdev BDF)... [FLAGS]';

  static override examples = [
    {
      description: 'any VM',
      command: '<%= config.bin %> <%= command.id %> --pid 4711 --group 12',
    },
    {
      description: 'only the plan',
      command: '<%= config.bin %> <%= command.id %> --vm-sock /run/vm.sock --group 12 --dry-run',
    },
    {
      description: 'two groups, both or none',
      command: '<%= config.bin %> <%= command.id %> --pid 4711 --group 12 --group 13',
    },
    {
      description: 'a device, by its own node',
      command: '<%= config.bin %> <%= command.id %> --pid 4711 --cdev 0000:01:00.0',
    },
  ];

  static override flags = {
    ...fileFlags,
    container: Flags.option({options: CONTAINERS})({
      helpGroup: 'SETUP',
      description:
        'what kvfio puts a group into if the owner does not have it open: type1 is a container with an IOMMU domain of its own, which stops the DMA of the devices until the VMM maps memory; the default is none, and type1 on kernels before 6.2, which ask the container for coherency',
      dependsOn: ['group'],
    }),
    create: Flags.option({
      options: ['if-missing', 'never'] as ('if-missing' | 'never')[],
      default: 'if-missing' as 'if-missing' | 'never',
    })({
      helpGroup: 'SETUP',
      description: 'what to do if the VM has no kvm-vfio device; choose never if the VMM will create its own',
    }),
    'dry-run': dryRunFlag,
    ...vmFlags,
  };

  async run(): Promise<ChangeDocument> {
    const {flags} = await this.parse(Attach);
    const {container, create} = flags;
    return this.change({command: 'attach', ...this.named(flags), container, create}, flags);
  }
}
