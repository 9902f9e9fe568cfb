import {Flags} from '@oclif/core';
import {BaseCommand} from '../cli/base-command.js';
import {statusLines, unexpectedLine} from '../cli/status-text.js';
import {reachOptions, vmFlags, vmPlace} from '../cli/vm-flags.js';
import {EXIT_CODES} from '../failure.js';
import {EXPECTATIONS, vmStatus, type StatusDocument} from '../kvm-vfio/status.js';

export default class Status extends BaseCommand {
  static override summary = 'Show the kvm-vfio device of a VM, its groups and devices, and what WBINVD does.';

  static override description = `Shows which VFIO groups and devices (cdevs) the VM's owner has open, and what KVM takes the VM for because of them. The kernel does not list what is registered with the device, so that is unknown unless kvfio finds out.

--verify finds out by adding each: EEXIST says that it is registered. One that was not is deleted again at once; for that moment the VM may be non-coherent. It is refused for an owner with several VMs that opened some of them itself.

KVM looks at a group when it is added, or when another is added or deleted, and not when devices come or go. What it saw when kvfio last changed something is noted on the group's open file; what has changed since is told. Where the note differs from what KVM would be told now, the VM's coherency is unknown: the VMM may have had KVM look meanwhile.`;

  static override usage = 'status (--vm-sock PATH | --pid PID) [FLAGS]';

  static override examples = [
    {
      description: 'The VM at a socket',
      command: '<%= config.bin %> <%= command.id %> --vm-sock /run/vm.sock',
    },
    {
      description: 'Any VM, and for certain',
      command: '<%= config.bin %> <%= command.id %> --pid 4711 --verify',
    },
    {
      description: 'In a script, before the guest is started',
      command: '<%= config.bin %> <%= command.id %> --vm-sock /run/vm.sock --verify --expect coherent',
    },
  ];

  static override flags = {
    verify: Flags.boolean({default: false, description: 'find out what is registered, by adding it'}),
    expect: Flags.option({options: EXPECTATIONS})({
      description: 'exit 7 if the VM is in the other state, 8 if its state is unknown',
    }),
    ...vmFlags,
  };

  async run(): Promise<StatusDocument> {
    const {flags} = await this.parse(Status);
    const document = await vmStatus(vmPlace(flags), {
      ...reachOptions(flags),
      verify: flags.verify,
      expected: flags.expect,
    });
    if (!this.jsonEnabled()) await this.printFacts((paint) => statusLines(document, paint));
    await this.warnOf(document.warnings);
    if (document.expected !== null && document.asExpected !== true) {
      this.tellWhy(unexpectedLine(document, {verify: flags.verify}));
      process.exitCode = EXIT_CODES[document.asExpected === false ? 'checkFailed' : 'cannotDecide'];
    }
    return document;
  }
}
