import {Flags} from '@oclif/core';
import {ChangeCommand} from '../cli/change-command.js';
import {dryRunFlag, fileFlags, namedFiles, vmFlags} from '../cli/vm-flags.js';
import type {ChangeDocument} from '../kvm-vfio/change-document.js';
import {CONTAINERS} from '../vfio/group-file.js';

export default class Add extends ChangeCommand {
  static override summary = 'Add VFIO groups or devices to the kvm-vfio device of a VM.';

  static override description = `The kernel's KVM_DEV_VFIO_FILE_ADD as it is: what is registered already answers EEXIST, which is exit code 6. The VM must have a device. What people mean most of the time is "kvfio attach".`;

  static override usage = 'add (--vm-sock PATH | --pid PID) (--group N | --cdev BDF)... [FLAGS]';

  static override examples = [
    {
      description: 'Group 12',
      command: '<%= config.bin %> <%= command.id %> --vm-sock /run/vm.sock --group 12',
    },
    {
      description: 'One device, through its own node',
      command: '<%= config.bin %> <%= command.id %> --vm-sock /run/vm.sock --cdev 0000:01:00.0',
    },
  ];

  static override flags = {
    ...fileFlags,
    container: Flags.option({options: CONTAINERS})({
      helpGroup: 'SETUP',
      description: 'what a group is put into that the owner does not have open yet, as in "kvfio attach"',
      dependsOn: ['group'],
    }),
    'dry-run': dryRunFlag,
    ...vmFlags,
  };

  async run(): Promise<ChangeDocument> {
    const {flags} = await this.parse(Add);
    return this.change({command: 'add', files: namedFiles(flags), container: flags.container}, flags);
  }
}
