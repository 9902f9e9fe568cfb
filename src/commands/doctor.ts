import {Flags} from '@oclif/core';
import {BaseCommand} from '../cli/base-command.js';
import {doctorLines} from '../cli/answers/doctor-text.js';
import {sysrootFlag} from '../cli/flags/sysroot-flag.js';
import {PURPOSES} from '../doctor/check.js';
import {diagnose, type DoctorDocument} from '../doctor/doctor.js';
import {readMachine} from '../doctor/machine.js';
import {EXIT_CODES} from '../failure.js';
import {readLogFile} from '../host/kernel-log.js';
import {openTree} from '../host/open-tree.js';

export default class Doctor extends BaseCommand {
  static override summary = 'Check what this host lacks to attach, probe or pass through devices.';

  static override description = `Each check passes, fails, or is undecided. For each that fails, kvfio says why it matters and what to do about it on this distribution. It changes and loads nothing.

kvfio looks at the host as you find it: what the kernel runs, what its nodes answer to you, and what the firmware announces.

--sysroot names another machine, such as one whose snapshot is in a bug report. Checks that only that machine can answer are then undecided: what KVM answers to ioctls, and what its users may open, lock and trace.

The exit code is 7 if a check fails that is needed, else 0, even if a check is undecided. A check that fails and is not needed is a note.`;

  static override usage = 'doctor [--for PURPOSE] [FLAGS]';

  static override examples = [
    {description: 'everything', command: '<%= config.bin %> <%= command.id %>'},
    {description: 'in a script', command: '<%= config.bin %> <%= command.id %> --for passthrough || exit'},
    {
      description: 'another machine, from its snapshot and its kernel log',
      command: '<%= config.bin %> <%= command.id %> --sysroot machine.json.gz --log dmesg.txt',
    },
    {
      description: 'the checks that fail',
      command: `<%= config.bin %> <%= command.id %> --json | jq -r '.checks[]|select(.state=="fail").id'`,
    },
  ];

  static override flags = {
    for: Flags.option({options: PURPOSES})({
      helpValue: 'PURPOSE',
      summary: 'attach, probe, or passthrough: check only what this needs',
      description:
        'check only what this needs: to tell KVM of the groups of VMs (attach), to measure WBINVD (probe), or to give devices to VMs (passthrough)',
    }),
    sysroot: sysrootFlag,
    log: Flags.string({
      summary: 'kernel log to read, in place of /dev/kmsg',
      description:
        'kernel log to read in place of /dev/kmsg, as dmesg or journalctl print it; /dev/stdin reads a pipe',
      helpValue: 'FILE',
    }),
  };

  async run(): Promise<DoctorDocument> {
    const {flags} = await this.parse(Doctor);
    const log = flags.log === undefined ? null : readLogFile(flags.log);
    const document = diagnose(flags.for ?? null, await readMachine(openTree(flags.sysroot), log));
    if (!this.jsonEnabled()) this.printLines(doctorLines(document, await this.look()));
    if (!document.ready) process.exitCode = EXIT_CODES.checkFailed;
    return document;
  }
}
