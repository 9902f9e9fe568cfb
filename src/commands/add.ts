import {Flags} from '@oclif/core';
import {ChangeCommand} from '../cli/change-command.js';
import {dryRunFlag, fileFlags, vmFlags} from '../cli/flags/vm-flags.js';
import type {ChangeDocument} from '../kvm-vfio/change-document.js';
import {CONTAINERS} from '../vfio/group-file.js';

export default class Add extends ChangeCommand {
  static override summary = 'Add VFIO groups or devices to the kvm-vfio device of a VM.';

  static override description = `Makes the kernel's call KVM_DEV_VFIO_FILE_ADD and reports its errors as they are: EEXIST is exit code 6. The VM must have a kvm-vfio device. "kvfio attach" also creates the device, and is what one usually wants.`;

  static override usage = 'add (--vm-sock PATH | --pid PID) (--group N | --cdev BDF)... [FLAGS]';

  static override examples = [
    {
      description: 'a group',
      command: '<%= config.bin %> <%= command.id %> --vm-sock /run/vm.sock --group 12',
    },
    {
      description: 'a device',
      command: '<%= config.bin %> <%= command.id %> --vm-sock /run/vm.sock --cdev 0000:01:00.0',
    },
  ];

  static override flags = {
    ...fileFlags,
    container: Flags.option({options: CONTAINERS})({
      helpGroup: 'SETUP',
      description: 'what kvfio puts a group into if the owner does not have it open, as in "kvfio attach"',
      dependsOn: ['group'],
    }),
    'dry-run': dryRunFlag,
    ...vmFlags,
  };

  async run(): Promise<ChangeDocument> {
    const {flags} = await this.parse(Add);
    return this.change({command: 'add', ...this.named(flags), container: flags.container}, flags);
  }
}
