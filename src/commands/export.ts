import {Args, Flags} from '@oclif/core';
import {BaseCommand} from '../cli/base-command.js';
import {sysrootFlag} from '../cli/flags/sysroot-flag.js';
import {usageFailure} from '../cli/usage/usage-failure.js';
import {FORMAT_NAMES, FORMATS, type FormatName} from '../export/formats.js';
import {takeReading, type Unread} from '../export/reading.js';
import {writeExport} from '../export/write-export.js';
import type {Failure} from '../failure.js';
import type {Warning} from '../host/attributes.js';
import {openTree} from '../host/open-tree.js';

/** What `kvfio export --out FILE --json` prints. */
export interface ExportDocument {
  schemaVersion: 1;
  format: FormatName;
  file: string;
  /** Size of the file. */
  bytes: number;
  groups: number;
  devices: number;
  /** The parts of the machine that could not be read, and why. */
  unread: Unread[];
  warnings: Warning[];
}

/** Where programs look for a format, if they look anywhere. */
const placeLine = (name: FormatName): string[] => {
  const {place} = FORMATS[name];
  return place === null ? [] : [`The usual file of ${name} is ${place}.`];
};

export default class Export extends BaseCommand {
  static override summary = 'Write what kvfio knows of this host for monitoring, Ansible or libvirt.';

  static override description = `${FORMAT_NAMES.map((name) => `${name}: ${FORMATS[name].summary}`).join('\n')}

${FORMAT_NAMES.flatMap(placeLine).join(' ')}

The exit code is 0 whatever kvfio could read of the host, and the answer itself says what it could not: a program that watches hosts loses all of a host whose exporter fails. Run it as root: other users see neither the Enable No Snoop bits nor the VMs of others.

--out writes the file whole, under another name first, with mode 0644. It replaces a file that an export of the same format has written, which kvfio knows by how the file begins; it replaces any other file only with --force.`;

  static override usage = 'export FORMAT [FLAGS]';

  static override examples = [
    {description: 'on stdout', command: '<%= config.bin %> <%= command.id %> prometheus'},
    {
      description: 'devices for a domain',
      command: '<%= config.bin %> <%= command.id %> libvirt',
    },
    {
      description: 'metrics for the node exporter of Debian',
      command:
        '<%= config.bin %> <%= command.id %> prometheus --out /var/lib/prometheus/node-exporter/kvfio.prom',
    },
    {
      description: 'metrics of another machine',
      command: '<%= config.bin %> <%= command.id %> prometheus --sysroot machine.json.gz',
    },
  ];

  static override args = {
    format: Args.string({required: true, options: FORMAT_NAMES, description: 'what to write'}),
  };

  static override flags = {
    out: Flags.string({char: 'o', description: 'file to write, in place of stdout', helpValue: 'FILE'}),
    force: Flags.boolean({char: 'f', description: 'replace the file even if kvfio did not write it'}),
    sysroot: sysrootFlag,
  };

  async run(): Promise<ExportDocument | null> {
    const {args, flags} = await this.parse(Export);
    const {out} = flags;
    if (out === undefined && this.jsonEnabled()) throw twoDocuments();
    const name = args.format as FormatName;
    const format = FORMATS[name];
    const reading = await takeReading(openTree(flags.sysroot), {
      kvfioVersion: this.config.version,
      parts: format.parts,
    });
    const {groups, ungrouped, warnings} = reading.groups;
    const devices = ungrouped.length + groups.reduce((sum, group) => sum + group.devices.length, 0);
    let document: ExportDocument | null = null;
    if (out === undefined) await this.printManyPieces(format.pieces(reading));
    else {
      const bytes = Buffer.from([...format.pieces(reading)].join(''));
      writeExport(out, bytes, format, flags.force);
      const {unread} = reading;
      document = {
        ...{schemaVersion: 1, format: name, file: out, bytes: bytes.length},
        ...{groups: groups.length, devices, unread, warnings},
      };
      if (!this.jsonEnabled())
        this.printLines([`${out}: ${groups.length} groups, ${devices} devices, ${bytes.length} bytes`]);
    }
    await this.warnOf([...reading.unread.map(({reason}) => ({message: reason})), ...warnings]);
    return document;
  }
}

const twoDocuments = (): Failure =>
  usageFailure(
    '--json says what was written to a file, and no file is named.',
    'Name one with --out, or leave out --json.',
  );
