import {gzipSync} from 'node:zlib';
import {Args, Flags} from '@oclif/core';
import {BaseCommand} from '../cli/base-command.js';
import {printableJson} from '../printable.js';
import {sysrootFlag} from '../cli/flags/sysroot-flag.js';
import {usageFailure} from '../cli/usage/usage-failure.js';
import type {Failure} from '../failure.js';
import type {Warning} from '../host/attributes.js';
import {takeSnapshot} from '../snapshot/take-snapshot.js';
import {openTree} from '../host/open-tree.js';
import {replaceFile} from '../linux/replace-file.js';

/** What `kvfio snapshot --json` prints. */
export interface SnapshotDocument {
  schemaVersion: 1;
  file: string;
  /** Size of the file. */
  bytes: number;
  /** Whether root took it; without, PCI configuration space beyond 64 bytes is missing. */
  root: boolean;
  groups: number;
  devices: number;
  warnings: Warning[];
}

export default class Snapshot extends BaseCommand {
  static override summary = 'Save what kvfio reads of this machine to one file, for --sysroot.';

  static override description = `The file holds what "groups", "doctor" and "bind --dry-run" read of the machine. It has no serial numbers, network addresses or host names, so you can attach it to a bug report.

It has the IOMMU units and groups, the PCI devices with the registers that kvfio looks at, their drivers, the kernel's release and its modules of KVM and VFIO, the distribution, and what booted it. Of the kernel's command line, configuration and log it keeps only what concerns IOMMU, VFIO, PCI and KVM.

If an ordinary user takes it, it lacks what only root sees: the Enable No Snoop bit, ACS, and on many machines the kernel log.`;

  static override usage = 'snapshot FILE [FLAGS]';

  static override examples = [
    {description: 'this machine', command: '<%= config.bin %> <%= command.id %> machine.json.gz'},
    {description: 'the same elsewhere', command: '<%= config.bin %> groups --sysroot machine.json.gz'},
    {
      description: 'what that machine lacks',
      command: '<%= config.bin %> doctor --for passthrough --sysroot machine.json.gz',
    },
  ];

  static override args = {
    file: Args.string({
      required: true,
      description: 'file to write, packed if its name ends in .gz; "-" is stdout',
    }),
  };

  static override flags = {
    sysroot: sysrootFlag,
    force: Flags.boolean({char: 'f', description: 'replace the file if it exists'}),
  };

  async run(): Promise<SnapshotDocument> {
    const {args, flags} = await this.parse(Snapshot);
    if (args.file === '-' && this.jsonEnabled()) throw twoDocuments();
    const root = process.geteuid?.() === 0;
    const {capture, host} = takeSnapshot(openTree(flags.sysroot), this.config.version, root);
    const text = `${printableJson(capture, 1)}\n`;
    const bytes = args.file.endsWith('.gz') ? gzipSync(text) : Buffer.from(text);
    if (args.file === '-') process.stdout.write(bytes);
    else replaceFile(args.file, bytes, {force: flags.force});
    const document: SnapshotDocument = {
      schemaVersion: 1,
      file: args.file,
      bytes: bytes.length,
      root,
      groups: host.groups.length,
      devices: host.ungrouped.length + host.groups.reduce((sum, group) => sum + group.devices.length, 0),
      warnings: host.warnings,
    };
    if (!this.jsonEnabled() && args.file !== '-') {
      const {file, groups, devices} = document;
      this.printLines([`${file}: ${groups} groups, ${devices} devices, ${bytes.length} bytes`]);
    }
    await this.warnOf(host.warnings);
    if (!root) this.note('taken without root: the Enable No Snoop bits and ACS are missing.');
    return document;
  }
}

const twoDocuments = (): Failure =>
  usageFailure(
    '--json and the file "-" would both print a document on stdout.',
    'Leave out --json, or name a file.',
  );
