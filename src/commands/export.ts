import {Args, Flags} from '@oclif/core';
import {BaseCommand} from '../cli/base-command.js';
import {sysrootFlag} from '../cli/flags/sysroot-flag.js';
import {usageFailure} from '../cli/usage/usage-failure.js';
import {FORMAT_NAMES, FORMATS, type FormatName} from '../export/formats.js';
import {isNodeName} from '../export/node-name.js';
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
  /** What the file leaves out, and why it is as it is, as sentences. */
  notes: string[];
}

/** Where programs look for a format, if they look anywhere. */
const placeLine = (name: FormatName): string[] => {
  const {place} = FORMATS[name];
  return place === null ? [] : [`The usual file of ${name} is ${place}.`];
};

export default class Export extends BaseCommand {
  static override summary = 'Write what kvfio knows of this host for other programs.';

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
      description: 'GPUs and others for containers: podman run --device kvfio/vfio=group12',
      command: '<%= config.bin %> <%= command.id %> cdi --out /etc/cdi/kvfio.json',
    },
    {
      description: 'metrics of another machine',
      command: '<%= config.bin %> <%= command.id %> prometheus --sysroot machine.json.gz',
    },
  ];

  static override args = {
    // the description has a line for each, so help has no list of arguments besides
    format: Args.string({
      required: true,
      hidden: true,
      options: [...FORMAT_NAMES],
      description: 'what to write',
    }),
  };

  static override flags = {
    out: Flags.string({char: 'o', description: 'file to write, in place of stdout', helpValue: 'FILE'}),
    force: Flags.boolean({char: 'f', description: 'replace the file even if kvfio did not write it'}),
    node: Flags.string({
      description: 'node of an nfd-object, in place of this host',
      helpValue: 'NAME',
    }),
    sysroot: sysrootFlag,
  };

  async run(): Promise<ExportDocument | null> {
    const {args, flags} = await this.parse(Export);
    const {out} = flags;
    if (out === undefined && this.jsonEnabled()) throw twoDocuments();
    const name = args.format as FormatName;
    const format = FORMATS[name];
    if (flags.node !== undefined) checkNode(flags.node, name);
    const reading = await takeReading(openTree(flags.sysroot), {
      kvfioVersion: this.config.version,
      parts: format.parts,
      ...(flags.node === undefined ? {} : {node: flags.node}),
    });
    const {groups, ungrouped, warnings} = reading.groups;
    const devices = ungrouped.length + groups.reduce((sum, group) => sum + group.devices.length, 0);
    const notes = format.notes?.(reading) ?? [];
    let document: ExportDocument | null = null;
    if (out === undefined) await this.printManyPieces(format.pieces(reading));
    else {
      const bytes = Buffer.from([...format.pieces(reading)].join(''));
      writeExport(out, bytes, format, flags.force);
      const {unread} = reading;
      document = {
        ...{schemaVersion: 1, format: name, file: out, bytes: bytes.length},
        ...{groups: groups.length, devices, unread, warnings, notes},
      };
      if (!this.jsonEnabled())
        this.printLines([`${out}: ${groups.length} groups, ${devices} devices, ${bytes.length} bytes`]);
    }
    for (const note of notes) this.note(note);
    await this.warnOf([...reading.unread.map(({reason}) => ({message: reason})), ...warnings]);
    return document;
  }
}

const checkNode = (node: string, format: FormatName): void => {
  if (format !== 'nfd-object')
    throw usageFailure(
      `--node names the node of an nfd-object, and ${format} names none.`,
      'Leave out --node.',
    );
  if (!isNodeName(node))
    throw usageFailure(
      `Kubernetes has no node with the name ${JSON.stringify(node)}.`,
      'Name one as "kubectl get nodes" prints it, of at most 63 characters.',
    );
};

const twoDocuments = (): Failure =>
  usageFailure(
    '--json says what was written to a file, and no file is named.',
    'Name one with --out, or leave out --json.',
  );
