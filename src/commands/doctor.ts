import {Flags} from '@oclif/core';
import {BaseCommand} from '../cli/base-command.js';
import {doctorLines} from '../cli/doctor-text.js';
import {PURPOSES} from '../doctor/check.js';
import {examine, type DoctorDocument} from '../doctor/doctor.js';
import {EXIT_CODES} from '../failure.js';

export default class Doctor extends BaseCommand {
  static override summary =
    'Check whether this host can attach, probe or pass through devices, and say what is missing.';

  static override description = `Looks at the state of the host, as you find it: what the kernel runs, what its nodes answer to you, what firmware announces. Each check passes, fails, or cannot be told; what fails comes with why it matters and what to do about it on this distribution. Nothing is changed or loaded.

The exit code is 7 when something fails that is needed, and 0 otherwise, also when it cannot be told. What fails and is not needed is a note.`;

  static override usage = 'doctor [--for PURPOSE] [FLAGS]';

  static override examples = [
    {description: 'Everything', command: '<%= config.bin %> <%= command.id %>'},
    {
      description: 'Before devices are given to VMs, in a script',
      command: '<%= config.bin %> <%= command.id %> --for passthrough || exit',
    },
    {
      description: 'Names of the checks that fail',
      command: `<%= config.bin %> <%= command.id %> --json | jq -r '.checks[]|select(.state=="fail").id'`,
    },
  ];

  static override flags = {
    for: Flags.option({options: PURPOSES})({
      description:
        'what is needed only for this: telling KVM of the groups of VMs, measuring WBINVD, or giving devices to VMs',
    }),
  };

  async run(): Promise<DoctorDocument> {
    const {flags} = await this.parse(Doctor);
    const document = await examine(flags.for ?? null);
    if (!this.jsonEnabled()) this.printLines(doctorLines(document, await this.look()));
    if (!document.ready) process.exitCode = EXIT_CODES.checkFailed;
    return document;
  }
}
