import {Flags} from '@oclif/core';
import {ChangeCommand} from '../cli/change-command.js';
import {dryRunFlag, vmFlags} from '../cli/vm-flags.js';
import type {ChangeDocument} from '../kvm-vfio/change-document.js';

export default class Create extends ChangeCommand {
  static override summary = 'Create the kvm-vfio device of a VM.';

  static override description = `The kernel's KVM_CREATE_DEVICE as it is: a VM that has such a device answers EBUSY, which is exit code 6. The device lives in the VM's owner, and with it.`;

  static override usage = 'create (--vm-sock PATH | --pid PID) [FLAGS]';

  static override examples = [
    {
      description: 'For the VM at a socket',
      command: '<%= config.bin %> <%= command.id %> --vm-sock /run/vm.sock',
    },
    {
      description: 'For any VM, such as one of QEMU',
      command: '<%= config.bin %> <%= command.id %> --pid 4711 --if-missing',
    },
  ];

  static override flags = {
    'if-missing': Flags.boolean({description: 'a VM that has a device is as good'}),
    'dry-run': dryRunFlag,
    ...vmFlags,
  };

  async run(): Promise<ChangeDocument> {
    const {flags} = await this.parse(Create);
    return this.change({command: 'create', ifMissing: flags['if-missing']}, flags);
  }
}
