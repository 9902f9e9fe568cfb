import {Flags} from '@oclif/core';
import {ChangeCommand} from '../cli/change-command.js';
import {dryRunFlag, vmFlags} from '../cli/vm-flags.js';
import {Failure} from '../failure.js';
import type {ChangeDocument} from '../kvm-vfio/change-document.js';

export default class Detach extends ChangeCommand {
  static override summary = 'Undo the attachment of VFIO groups to a VM.';

  static override description = `Deletes each group from the kvm-vfio device of the VM, and closes the descriptor that kvfio had handed to the VM's owner, so that the group is free. A descriptor that the VMM opened itself stays open. What is not attached is left as it is, with exit code 0 and "changed": false.`;

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
    group: Flags.integer({
      char: 'g',
      description: 'an IOMMU group; several are all or none',
      multiple: true,
      min: 0,
      helpValue: 'N',
      exclusive: ['all'],
    }),
    all: Flags.boolean({description: "all groups that the VM's owner has open"}),
    'close-device': Flags.boolean({
      description: 'close the kvm-vfio device too, which a VMM that made it itself would miss',
    }),
    'dry-run': dryRunFlag,
    ...vmFlags,
  };

  async run(): Promise<ChangeDocument> {
    const {flags} = await this.parse(Detach);
    if (flags.group === undefined && !flags.all) throw nothingNamed();
    const groups = flags.all ? 'all' : (flags.group ?? []);
    return this.change({command: 'detach', groups, closeDevice: flags['close-device']}, flags);
  }
}

const nothingNamed = (): Failure =>
  new Failure({
    code: 'USAGE',
    kind: 'usage',
    what: 'The command line was not understood.',
    why: 'No group is named.',
    hint: 'Use --group or --all.',
  });
