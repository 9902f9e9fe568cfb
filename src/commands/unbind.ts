import {Flags} from '@oclif/core';
import {BaseCommand} from '../cli/base-command.js';
import {forced, unbindGuardFlags, memberFlags, memberRequest, patienceFlag} from '../cli/flags/bind-flags.js';
import {bindLines} from '../cli/answers/bind-text.js';
import {dryRunFlag} from '../cli/flags/vm-flags.js';
import type {UnbindDocument} from '../vfio/bind/bind-document.js';
import {recoverDevices} from '../vfio/bind/recover.js';
import {openTree} from '../host/open-tree.js';
import {EXIT_CODES} from '../failure.js';
import {unbindDevices} from '../vfio/bind/unbind.js';

export default class Unbind extends BaseCommand {
  static override summary = 'Return devices from VFIO to the drivers that they had.';

  static override description = `Gives each device the driver and the driver_override that it had before "kvfio bind": all of them, or none. kvfio leaves a device alone that VFIO does not have, and refuses a group that a VM holds.

If somebody else gave a device to VFIO, or kvfio did before the last boot, kvfio leaves it alone with a warning; if --device names it, kvfio refuses it (exit code 5). --force-foreign takes it: kvfio clears its driver_override, and the kernel finds a driver for it.

If a crash or a kill of kvfio interrupted bind or unbind, --recover returns every device concerned to its original driver and driver_override, and does nothing else.

kvfio refuses a group that a VM holds because its driver would wait until the VM lets go.`;

  static override usage = ['unbind (--group N | --device BDF)... [FLAGS]', 'unbind --recover [FLAGS]'];

  static override examples = [
    {description: 'a group', command: '<%= config.bin %> <%= command.id %> --group 12'},
    {description: 'after a crash', command: '<%= config.bin %> <%= command.id %> --recover'},
  ];

  static override flags = {
    ...memberFlags,
    recover: Flags.boolean({
      description: 'return devices whose bind or unbind was interrupted',
      exclusive: ['group', 'device'],
      default: false,
    }),
    'dry-run': dryRunFlag,
    timeout: patienceFlag,
    ...unbindGuardFlags,
  };

  async run(): Promise<UnbindDocument> {
    const {flags} = await this.parse(Unbind);
    const options = {
      force: forced(flags),
      dryRun: flags['dry-run'],
      timeout: flags.timeout,
      onNote: (line: string) => {
        this.note(line);
      },
    };
    const document = flags.recover
      ? await recoverDevices(options)
      : await unbindDevices(memberRequest(openTree(undefined), flags, options.onNote), options);
    if (!this.jsonEnabled()) await this.printFacts((paint) => bindLines(document, paint));
    await this.warnOf(document.warnings);
    // as without --dry-run
    if (document.refused.length > 0) process.exitCode = EXIT_CODES.refused;
    return document;
  }
}
