import {Flags} from '@oclif/core';
import {BaseCommand} from '../cli/base-command.js';
import {
  driverFlag,
  driverWish,
  forced,
  guardFlags,
  memberFlags,
  memberRequest,
  ownerOf,
  patienceFlag,
} from '../cli/bind-flags.js';
import {bindLines} from '../cli/bind-text.js';
import {sysrootFlag} from '../cli/sysroot-flag.js';
import {usageFailure} from '../cli/usage-failure.js';
import {dryRunFlag} from '../cli/vm-flags.js';
import {EXIT_CODES} from '../failure.js';
import {openTree} from '../linux/open-tree.js';
import {bindDevices} from '../vfio/bind/bind.js';
import type {BindDocument} from '../vfio/bind/bind-document.js';
import {filesAlone, hostSetting} from '../vfio/bind/setting.js';

export default class Bind extends BaseCommand {
  static override summary = 'Give whole IOMMU groups, or single devices, to vfio-pci.';

  static override description = `All or none: what each device was is written to /run/kvfio first, each write is read back, and when one fails everything is put back, with exit code 9 and what was undone. "kvfio unbind" returns the devices; after a crash "kvfio unbind --recover" does.

--dry-run --sysroot plans for another machine, as it is in its files. What it needs the devices for they do not say.

--driver names another driver of VFIO than vfio-pci, or has kvfio choose: such drivers can do more for their devices, as migrate them. Where vfio-pci has a device already, it then changes to that driver.

Bridges, and members that VFIO accepts as they are, are left alone. Only driver_override and the bind files of the devices named are written to; other devices of the same kind are never touched.

A device that the host needs is refused: one that carries a mounted file system (a disk, 9p, virtiofs or flash memory, in the mount namespace of any process), swap, or a member of LVM, RAID or ZFS, or that a process has open; an interface with an address or a default route, in another network namespace, in a bridge with other ports, or up with a link for a reason that does not show; the boot display, or one that a program has open; a serial or virtio console, or the last display; a TPM or a running watchdog; virtual functions, or a group that a VM holds. Each refusal names what it found and the flag that overrules it.

At the end every device that was changed is compared with its goal. The locks of kvfio end at its mount namespace, and nothing locks udev or driverctl out, so another program may have changed one: then everything is put back.`;

  static override usage = 'bind (--group N | --device BDF)... [--user NAME] [FLAGS]';

  static override examples = [
    {description: 'Group 12', command: '<%= config.bin %> <%= command.id %> --group 12'},
    {
      description: 'For a VM of an ordinary user',
      command: '<%= config.bin %> <%= command.id %> --group 12 --user alice',
    },
    {
      description: 'To the driver of VFIO that is made for the device, such as one that can migrate it',
      command: '<%= config.bin %> <%= command.id %> --device 0000:01:00.2 --driver auto',
    },
    {
      description: 'What would be done',
      command: '<%= config.bin %> <%= command.id %> --device 0000:01:00.0 --dry-run',
    },
    {
      description: 'The same on another machine, by its snapshot',
      command: '<%= config.bin %> <%= command.id %> --group 12 --dry-run --sysroot machine.json.gz',
    },
  ];

  static override flags = {
    ...memberFlags,
    user: Flags.string({
      description: 'user who gets the node of each group',
      helpValue: 'NAME|UID',
      exclusive: ['sysroot'],
    }),
    driver: driverFlag,
    'dry-run': dryRunFlag,
    sysroot: sysrootFlag,
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
    const document = await bindDevices(memberRequest(flags), {
      setting: tree.origin.kind === 'host' ? hostSetting() : filesAlone(tree),
      owner: ownerOf(flags.user),
      driver: driverWish(flags.driver),
      force: forced(flags),
      dryRun: flags['dry-run'],
      timeout: flags.timeout,
      onNote: (line) => {
        this.note(line);
      },
    });
    if (!this.jsonEnabled()) await this.printFacts((paint) => bindLines(document, paint));
    await this.warnOf(document.warnings);
    // as without --dry-run
    if (document.refused.length > 0) process.exitCode = EXIT_CODES.refused;
    return document;
  }
}
