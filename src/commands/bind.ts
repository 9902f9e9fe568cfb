import {Flags} from '@oclif/core';
import {BaseCommand} from '../cli/base-command.js';
import {
  driverFlag,
  driverWish,
  forced,
  guardFlags,
  memberFlags,
  memberRequest,
  nodeUser,
  patienceFlag,
} from '../cli/flags/bind-flags.js';
import {bindLines} from '../cli/answers/bind-text.js';
import {sysrootFlag} from '../cli/flags/sysroot-flag.js';
import {usageFailure} from '../cli/usage/usage-failure.js';
import {dryRunFlag} from '../cli/flags/vm-flags.js';
import {EXIT_CODES} from '../failure.js';
import {openTree} from '../host/open-tree.js';
import {bindDevices} from '../vfio/bind/bind.js';
import type {BindDocument} from '../vfio/bind/bind-document.js';
import {filesAlone, hostSetting} from '../vfio/bind/setting.js';

export default class Bind extends BaseCommand {
  static override summary = 'Give whole IOMMU groups, or single devices, to vfio-pci.';

  static override description = `Binds every device of a group, or none: if one fails, kvfio puts all of them back (exit code 9). It refuses a device that the host needs, and names the --force flag that overrules it. "kvfio unbind" returns the devices.

kvfio first writes to /run/kvfio what each device was, and reads each change back. After a crash "kvfio unbind --recover" returns the devices.

kvfio leaves bridges alone, and members that VFIO accepts as they are. It writes only to driver_override and to the bind files of the devices named, so it never touches other devices of the same kind.

The host needs a device that carries a mounted file system (on a disk, 9p, virtiofs or flash memory, in the mount namespace of any process), swap, or a member of LVM, RAID or ZFS, or that a process has open; an interface that has an address or a default route, is in another network namespace or in a bridge with other ports, or is up with a link although kvfio sees nothing that uses it; the boot display, or a display that a program has open; a serial or virtio console, or the last display; a TPM or a running watchdog; a device that has virtual functions; and a group that a VM holds. Each refusal names what kvfio found and the flag that overrules it.

--driver names another VFIO driver than vfio-pci, or has kvfio choose one. Such a driver can do more for its devices, such as migrate them. If vfio-pci has a device already, kvfio changes the device to that driver.

--dry-run --sysroot plans for another machine from its files. They do not say what that machine needs its devices for.

At the end kvfio compares every device that it changed with its goal. Its locks do not reach beyond its mount namespace and do not keep udev or driverctl out, so another program may have changed a device; kvfio then puts everything back.`;

  static override usage = 'bind (--group N | --device BDF)... [--user NAME] [FLAGS]';

  static override examples = [
    {description: 'for your own VMM', command: '<%= config.bin %> <%= command.id %> --group 12 --user alice'},
    {
      description: 'only the plan',
      command: '<%= config.bin %> <%= command.id %> --device 0000:01:00.0 --dry-run',
    },
    {
      description: 'the VFIO driver made for the device, such as one that can migrate it',
      command: '<%= config.bin %> <%= command.id %> --device 0000:01:00.2 --driver auto',
    },
    {
      description: 'the plan for another machine, from its snapshot',
      command: '<%= config.bin %> <%= command.id %> --group 12 --dry-run --sysroot machine.json.gz',
    },
  ];

  static override flags = {
    ...memberFlags,
    user: Flags.string({
      description: 'user who gets the node /dev/vfio/N of each group',
      helpValue: 'NAME|UID',
      exclusive: ['sysroot'],
    }),
    driver: driverFlag,
    'dry-run': dryRunFlag,
    sysroot: {...sysrootFlag, helpGroup: 'SETUP'},
    timeout: patienceFlag,
    ...guardFlags,
  };

  async run(): Promise<BindDocument> {
    const {flags} = await this.parse(Bind);
    if (flags.sysroot !== undefined && !flags['dry-run'])
      throw usageFailure(
        '--sysroot is for a dry run: drivers are changed on the machine itself.',
        'Add --dry-run, or leave --sysroot out.',
      );
    const tree = openTree(flags.sysroot);
    const note = (line: string): void => {
      this.note(line);
    };
    const document = await bindDevices(memberRequest(tree, flags, note), {
      setting: tree.origin.kind === 'host' ? hostSetting() : filesAlone(tree),
      owner: nodeUser(flags.user),
      driver: driverWish(flags.driver),
      force: forced(flags),
      dryRun: flags['dry-run'],
      timeout: flags.timeout,
      onNote: note,
    });
    if (!this.jsonEnabled()) await this.printFacts((paint) => bindLines(document, paint));
    await this.warnOf(document.warnings);
    // as without --dry-run
    if (document.refused.length > 0) process.exitCode = EXIT_CODES.refused;
    return document;
  }
}
