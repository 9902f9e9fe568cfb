import {Flags} from '@oclif/core';
import {ChangeCommand} from '../cli/change-command.js';
import {dryRunFlag, groupFlag, vmFlags} from '../cli/vm-flags.js';
import type {ChangeDocument} from '../kvm-vfio/change-document.js';
import {CONTAINERS} from '../vfio/group-file.js';

export default class Add extends ChangeCommand {
  static override summary = 'Add VFIO groups to the kvm-vfio device of a VM.';

  static override description = `The kernel's KVM_DEV_VFIO_FILE_ADD as it is: a group that is registered already answers EEXIST, which is exit code 6. The VM must have a device. What people mean most of the time is "kvfio attach".`;

  static override examples = [
    {
      description: 'Group 12',
      command: '<%= config.bin %> <%= command.id %> --vm-sock /run/vm.sock --group 12',
    },
  ];

  static override flags = {
    group: groupFlag,
    container: Flags.option({options: CONTAINERS})({
      description: 'what a group is put into that the owner does not have open yet, as in "kvfio attach"',
    }),
    'dry-run': dryRunFlag,
    ...vmFlags,
  };

  async run(): Promise<ChangeDocument> {
    const {flags} = await this.parse(Add);
    return this.change({command: 'add', groups: flags.group, container: flags.container}, flags);
  }
}
