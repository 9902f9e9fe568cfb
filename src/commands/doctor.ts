import {Flags} from '@oclif/core';
import {BaseCommand} from '../cli/base-command.js';
import {doctorLines} from '../cli/doctor-text.js';
import {sysrootFlag} from '../cli/sysroot-flag.js';
import {PURPOSES} from '../doctor/check.js';
import {diagnose, type DoctorDocument} from '../doctor/doctor.js';
import {readMachine} from '../doctor/machine.js';
import {EXIT_CODES} from '../failure.js';
import {readLogFile} from '../linux/kernel-log.js';
import {openTree} from '../linux/open-tree.js';

export default class Doctor extends BaseCommand {
  static override summary =
    'Check whether this host can attach, probe or pass through devices, and say what is missing.';

  static override description = `Looks at the state of the host, as you find it: what the kernel runs, what its nodes answer to you, what firmware announces. Each check passes, fails, or cannot be told; what fails comes with why it matters and what to do about it on this distribution. Nothing is changed or loaded.

With --sysroot it is about another machine, such as one of which a bug report has the snapshot. What only that machine answers, to its users, is then undecided: what KVM says to ioctls, and what they may open, lock and trace.

The exit code is 7 when something fails that is needed, and 0 otherwise, also when it cannot be told. What fails and is not needed is a note.`;

  static override usage = 'doctor [--for PURPOSE] [FLAGS]';

  static override examples = [
    {description: 'Everything', command: '<%= config.bin %> <%= command.id %>'},
    {
      description: 'Before devices are given to VMs, in a script',
      command: '<%= config.bin %> <%= command.id %> --for passthrough || exit',
    },
    {
      description: 'Another machine, by its snapshot and its kernel log',
      command: '<%= config.bin %> <%= command.id %> --sysroot machine.json.gz --log dmesg.txt',
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
    sysroot: sysrootFlag,
    log: Flags.string({
      description:
        "what the machine's kernel has said, as dmesg or journalctl print it, in place of /dev/kmsg; /dev/stdin for a pipe",
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
