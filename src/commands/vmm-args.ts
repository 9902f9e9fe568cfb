import {Flags} from '@oclif/core';
import {BaseCommand} from '../cli/base-command.js';
import {vmmGroupFlag} from '../cli/flags/vmm-flags.js';
import {DirectoryTree} from '../host/directory-tree.js';
import {readHost} from '../iommu/host.js';
import type {VmmArgsDocument} from '../vmm/run-document.js';
import {vfioMembers} from '../vmm/vfio-members.js';
import {VMM_NAMES, vmmArguments, type VmmName} from '../vmm/vmm-arguments.js';

export default class VmmArgs extends BaseCommand {
  static override summary = 'Print the arguments that give groups to a VMM.';

  static override description = `Prints on one line the arguments for each PCI device of the groups that a driver of VFIO has. None of them has a blank or needs quotes. The groups must be bound: "kvfio run" binds them, runs the VMM and gives them back.`;

  static override usage = 'vmm-args --vmm NAME --group N...';

  static override examples = [
    {
      description: 'QEMU with group 12',
      command: 'qemu-system-x86_64 $(<%= config.bin %> <%= command.id %> --vmm qemu --group 12)',
    },
  ];

  static override flags = {
    vmm: Flags.option({options: VMM_NAMES, required: true, description: 'the VMM'})(),
    group: vmmGroupFlag,
  };

  async run(): Promise<VmmArgsDocument> {
    const {flags} = await this.parse(VmmArgs);
    const vmm: VmmName = flags.vmm;
    const devices = vfioMembers(readHost(new DirectoryTree()), flags.group);
    const args = vmmArguments(vmm, devices);
    if (!this.jsonEnabled()) this.printLines([args.join(' ')]);
    return {schemaVersion: 1, vmm, devices, args};
  }
}
