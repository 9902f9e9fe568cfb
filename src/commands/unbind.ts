import {Flags} from '@oclif/core';
import {BaseCommand} from '../cli/base-command.js';
import {forced, unbindGuardFlags, memberFlags, memberRequest, patienceFlag} from '../cli/bind-flags.js';
import {bindLines} from '../cli/bind-text.js';
import {dryRunFlag} from '../cli/vm-flags.js';
import type {UnbindDocument} from '../vfio/bind/bind-document.js';
import {recoverDevices} from '../vfio/bind/recover.js';
import {EXIT_CODES} from '../failure.js';
import {unbindDevices} from '../vfio/bind/unbind.js';

export default class Unbind extends BaseCommand {
  static override summary = 'Return devices from VFIO to the drivers that they had.';

  static override description = `Each device gets the driver and the override that it had before "kvfio bind". All or none, as with bind; devices that VFIO does not have are left alone, with exit code 0.

A device that somebody else gave to VFIO, or kvfio before the machine was booted last, is left alone with a warning, or refused where --device names it (exit code 5). --force-foreign takes it: it loses its override and gets the driver that the kernel finds for it.

--recover puts every device right whose bind or unbind was cut short by a crash, a kill or a power cut, and nothing else.

A group that a VM holds is refused: its driver would wait for the VM to let go.`;

  static override usage = ['unbind (--group N | --device BDF)... [FLAGS]', 'unbind --recover [FLAGS]'];

  static override examples = [
    {description: 'Group 12', command: '<%= config.bin %> <%= command.id %> --group 12'},
    {description: 'After a crash', command: '<%= config.bin %> <%= command.id %> --recover'},
  ];

  static override flags = {
    ...memberFlags,
    recover: Flags.boolean({
      description: 'finish what was cut short: every device gets its original driver and override',
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
      : await unbindDevices(memberRequest(flags), options);
    if (!this.jsonEnabled()) await this.printFacts((paint) => bindLines(document, paint));
    await this.warnOf(document.warnings);
    // as without --dry-run
    if (document.refused.length > 0) process.exitCode = EXIT_CODES.refused;
    return document;
  }
}
