import {Flags} from '@oclif/core';
import {BaseCommand} from '../cli/base-command.js';
import {statusLines, unexpectedLine} from '../cli/answers/status-text.js';
import {reachOptions, vmFlags, vmPlace} from '../cli/flags/vm-flags.js';
import {EXIT_CODES} from '../failure.js';
import {EXPECTATIONS, vmStatus, type StatusDocument} from '../kvm-vfio/status.js';

export default class Status extends BaseCommand {
  static override summary = "Show what KVM knows of a VM's groups and devices, and what WBINVD does.";

  static override description = `Shows which VFIO groups and devices (cdevs) the VM's owner has open, and whether KVM takes the VM for coherent. The owner is the process that created the VM. The kernel does not list what is registered; --verify finds out.

A VM is coherent if the IOMMU makes the DMA of all its registered groups and devices coherent. KVM then skips the guest's WBINVD; else it executes each.

--verify adds each group or device again: EEXIST says that it is registered. If one was not registered, kvfio deletes it again immediately; until then the VM may be non-coherent. kvfio refuses an owner that has several VMs and opened some of the groups itself.

"Handed over by kvfio" means that kvfio opened the group and gave the owner a descriptor of it. kvfio notes on the open file how KVM judged it then.

KVM judges a group when the group is added, or when another is added or deleted, but not when devices come or go. kvfio reports what has changed since its note. If KVM would judge differently now, the coherency of the VM is unknown, because the VMM may have made KVM judge again.`;

  static override usage = 'status (--vm-sock PATH | --pid PID) [FLAGS]';

  static override examples = [
    {description: 'any VM, for certain', command: '<%= config.bin %> <%= command.id %> --pid 4711 --verify'},
    {
      description: 'in a script',
      command: '<%= config.bin %> <%= command.id %> --pid 4711 --verify --expect coherent',
    },
    {
      description: 'the VM at a socket',
      command: '<%= config.bin %> <%= command.id %> --vm-sock /run/vm.sock',
    },
  ];

  static override flags = {
    verify: Flags.boolean({default: false, description: 'find out what is registered, by adding it again'}),
    expect: Flags.option({options: EXPECTATIONS})({
      summary: 'exit 7 if it is in the other state, 8 if unknown',
      description: 'exit 7 if the VM is in the other state, 8 if its state is unknown',
    }),
    ...vmFlags,
  };

  protected readonly readStatus = vmStatus;

  async run(): Promise<StatusDocument> {
    const {flags} = await this.parse(Status);
    const document = await this.readStatus(vmPlace(flags), {
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
