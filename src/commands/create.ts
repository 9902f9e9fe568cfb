import {Flags} from '@oclif/core';
import {ChangeCommand} from '../cli/change-command.js';
import {dryRunFlag, vmFlags} from '../cli/flags/vm-flags.js';
import type {ChangeDocument} from '../kvm-vfio/change-document.js';

export default class Create extends ChangeCommand {
  static override summary = 'Create the kvm-vfio device of a VM.';

  static override description = `Makes the kernel's call KVM_CREATE_DEVICE and reports its errors as they are: EBUSY, if the VM has such a device already, is exit code 6. The VM's owner, the process that created the VM, holds the device; it ends with the VM.`;

  static override usage = 'create (--vm-sock PATH | --pid PID) [FLAGS]';

  static override examples = [
    {
      description: 'the VM at a socket',
      command: '<%= config.bin %> <%= command.id %> --vm-sock /run/vm.sock',
    },
    {
      description: 'any VM, such as one of QEMU',
      command: '<%= config.bin %> <%= command.id %> --pid 4711 --if-missing',
    },
  ];

  static override flags = {
    'if-missing': Flags.boolean({description: 'succeed if the VM has a device already'}),
    'dry-run': dryRunFlag,
    ...vmFlags,
  };

  async run(): Promise<ChangeDocument> {
    const {flags} = await this.parse(Create);
    return this.change({command: 'create', ifMissing: flags['if-missing']}, flags);
  }
}
