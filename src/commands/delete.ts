import {ChangeCommand} from '../cli/change-command.js';
import {dryRunFlag, fileFlags, vmFlags} from '../cli/flags/vm-flags.js';
import type {ChangeDocument} from '../kvm-vfio/change-document.js';

export default class Delete extends ChangeCommand {
  static override summary = 'Delete VFIO groups or devices from the kvm-vfio device of a VM.';

  static override description = `Makes the kernel's call KVM_DEV_VFIO_FILE_DEL and reports its errors as they are: ENOENT is exit code 6. The owner keeps its descriptor unless it has an agent, so nobody else can use the group; "kvfio detach" closes it.

The owner is the process that created the VM. An agent is code in it that speaks kvfio's protocol on the socket.`;

  static override usage = 'delete (--vm-sock PATH | --pid PID) (--group N | --cdev BDF)... [FLAGS]';

  static override examples = [
    {
      description: 'a group',
      command: '<%= config.bin %> <%= command.id %> --vm-sock /run/vm.sock --group 12',
    },
  ];

  static override flags = {...fileFlags, 'dry-run': dryRunFlag, ...vmFlags};

  async run(): Promise<ChangeDocument> {
    const {flags} = await this.parse(Delete);
    return this.change({command: 'delete', ...this.named(flags)}, flags);
  }
}
