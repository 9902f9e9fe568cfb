import {Flags} from '@oclif/core';
import {ChangeCommand} from '../cli/change-command.js';
import {dryRunFlag, fileFlags, namedFiles, vmFlags} from '../cli/vm-flags.js';
import type {ChangeDocument} from '../kvm-vfio/change-document.js';

export default class Detach extends ChangeCommand {
  static override summary = 'Undo the attachment of VFIO groups or devices to a VM.';

  static override description = `Deletes each from the kvm-vfio device of the VM, and closes the descriptor that kvfio had handed to the VM's owner, so that the group or device is free. A descriptor that the VMM opened itself stays open. What is not attached is left as it is, with exit code 0 and "changed": false.`;

  static override usage = [
    'detach (--vm-sock PATH | --pid PID) (--group N | --cdev BDF)... [FLAGS]',
    'detach (--vm-sock PATH | --pid PID) --all [FLAGS]',
  ];

  static override examples = [
    {
      description: 'Group 12',
      command: '<%= config.bin %> <%= command.id %> --vm-sock /run/vm.sock --group 12',
    },
    {
      description: 'All that the VM has, and the device too',
      command: '<%= config.bin %> <%= command.id %> --pid 4711 --all --close-device',
    },
  ];

  static override flags = {
    ...fileFlags,
    all: Flags.boolean({
      description: "all groups and devices that the VM's owner has open",
      exclusive: ['group', 'cdev'],
    }),
    'close-device': Flags.boolean({
      description: 'close the kvm-vfio device too, which a VMM that made it itself would miss',
    }),
    'dry-run': dryRunFlag,
    ...vmFlags,
  };

  async run(): Promise<ChangeDocument> {
    const {flags} = await this.parse(Detach);
    const files = flags.all ? 'all' : namedFiles(flags, '--group, --cdev or --all');
    return this.change({command: 'detach', files, closeDevice: flags['close-device']}, flags);
  }
}
