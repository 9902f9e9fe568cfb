import {Flags} from '@oclif/core';
import {ChangeCommand} from '../cli/change-command.js';
import {dryRunFlag, fileFlags, vmFlags} from '../cli/flags/vm-flags.js';
import type {ChangeDocument} from '../kvm-vfio/change-document.js';

export default class Detach extends ChangeCommand {
  static override summary = 'Tell KVM that a VM no longer uses VFIO groups or devices.';

  static override description = `Deletes them from the VM's kvm-vfio device, and closes the descriptors that kvfio handed over to the VM's owner, so that they are free for others.

The owner is the process that created the VM. A descriptor that it opened itself stays open. kvfio leaves alone what is not attached; if that is all, it exits with 0, and --json says "changed": false.`;

  static override usage = [
    'detach (--vm-sock PATH | --pid PID) (--group N | --cdev BDF)... [FLAGS]',
    'detach (--vm-sock PATH | --pid PID) --all [FLAGS]',
  ];

  static override examples = [
    {description: 'a group', command: '<%= config.bin %> <%= command.id %> --pid 4711 --group 12'},
    {
      description: 'all, and the kvm-vfio device',
      command: '<%= config.bin %> <%= command.id %> --pid 4711 --all --close-device',
    },
  ];

  static override flags = {
    ...fileFlags,
    all: Flags.boolean({
      description: "every group and device that the VM's owner has open",
      exclusive: ['group', 'cdev'],
    }),
    'close-device': Flags.boolean({
      helpGroup: 'SETUP',
      description: 'close the kvm-vfio device, too; a VMM that created it itself would miss it',
    }),
    'dry-run': dryRunFlag,
    ...vmFlags,
    wait: {...vmFlags.wait, helpGroup: 'OWNER'},
  };

  async run(): Promise<ChangeDocument> {
    const {flags} = await this.parse(Detach);
    const named = flags.all ? {files: 'all' as const} : this.named(flags, '--group, --cdev or --all');
    return this.change({command: 'detach', ...named, closeDevice: flags['close-device']}, flags);
  }
}
