import {Args, Flags} from '@oclif/core';
import {BaseCommand} from '../cli/base-command.js';
import {diffLines} from '../cli/answers/diff-text.js';
import {kindsLines} from '../cli/answers/kinds-text.js';
import {Progress} from '../cli/output/progress.js';
import {usageFailure} from '../cli/usage/usage-failure.js';
import {baselineDocument, type BaselineDocument} from '../diff/baseline-document.js';
import {diffDocument, type DiffDocument} from '../diff/diff-document.js';
import {readCompared, type ComparedMachine} from '../diff/machine.js';
import {EXIT_CODES, type Failure} from '../failure.js';
import {openTree} from '../host/open-tree.js';
import {grouped} from '../numbers.js';

export default class Diff extends BaseCommand {
  static override summary = 'Compare two machines, or many with one: groups, devices, verdicts, kernels.';

  static override description = `Compares the kernels, the IOMMU units, the groups, and the address, group, driver, unit, coherency and assignability of each device.

Of the kernel it compares the release, and of its command line what concerns IOMMU, VFIO, PCI and KVM; of the IOMMU units their registers; of the groups their numbers and members.

kvfio finds a device in the other machine by its serial number if both machines show one (snapshots keep none), else by its slot and ids, else by its ids alone. A device has "moved" if it is in another slot, or if a bridge that was added before it changed its address. If several devices of one model are left, kvfio pairs them in their order and says that this is a guess.

--baseline reads all snapshots of a folder in one pass, each up to 32 MiB unpacked. Hosts that do not differ are one kind. An odd one out differs from the baseline, and its kind has one host, or fewer than one in a hundred. kvfio names and counts the files that are no snapshots.

The exit code is 0 even if something differs; with --expect it is then 7.`;

  static override usage = [
    'diff A [B] [FLAGS]',
    'diff --expect FILE [B] [FLAGS]',
    'diff --baseline A DIR [FLAGS]',
  ];

  static override examples = [
    {description: 'what has changed', command: '<%= config.bin %> <%= command.id %> before.json.gz'},
    {
      description: 'in a script',
      command: '<%= config.bin %> <%= command.id %> --expect before.json.gz --quiet || exit',
    },
    {
      description: 'the kinds of hosts in a fleet, and the odd ones out',
      command: '<%= config.bin %> <%= command.id %> --baseline golden.json.gz snapshots/',
    },
  ];

  static override args = {
    a: Args.string({
      description: 'a file of "kvfio snapshot", or a folder that holds sys and proc',
    }),
    b: Args.string({description: 'the other machine; without it, this host'}),
  };

  static override flags = {
    expect: Flags.string({
      description: 'compare with this machine; exit 7 if anything differs',
      helpValue: 'FILE',
      exclusive: ['baseline'],
    }),
    baseline: Flags.string({
      description: 'compare each snapshot in DIR with this machine',
      helpValue: 'A',
    }),
  };

  async run(): Promise<DiffDocument | BaselineDocument> {
    const {args, flags} = await this.parse(Diff);
    const named = [args.a, args.b].filter((each) => each !== undefined);
    if (named.includes('')) throw emptyName();
    return flags.baseline === undefined
      ? this.#compare(named, flags.expect)
      : this.#compareMany(flags.baseline, named);
  }

  async #compare(named: readonly string[], expected: string | undefined): Promise<DiffDocument> {
    const [a, b, ...more] = expected === undefined ? named : [expected, ...named];
    if (a === undefined) throw nothingNamed();
    if (more.length > 0) throw tooMany('--expect FILE is compared with one machine, and two are given.');
    const machines = [a, b].map(machineOf) as [ComparedMachine, ComparedMachine];
    const document = diffDocument(...machines, {expected: expected !== undefined});
    if (!this.jsonEnabled()) await this.printFacts((paint) => diffLines(document, paint));
    await this.warnOf(
      document.warnings.map(({machine, message}) => ({message: `${machine.toUpperCase()}: ${message}`})),
    );
    if (document.expected && !document.same) process.exitCode = EXIT_CODES.checkFailed;
    return document;
  }

  async #compareMany(baseline: string, [folder, ...more]: readonly string[]): Promise<BaselineDocument> {
    if (folder === undefined)
      throw usageFailure(
        '--baseline compares the snapshots of a folder, and none is given.',
        'Name a folder that holds files made by "kvfio snapshot".',
      );
    if (more.length > 0) throw tooMany('--baseline takes one folder, and two are given.');
    const machine = machineOf(baseline);
    using progress = new Progress();
    const document = baselineDocument(machine, folder, (done, of) => {
      progress.show(() => `${grouped(done)} of ${grouped(of)} snapshots`);
    });
    progress.clear();
    if (!this.jsonEnabled()) this.printLines(await kindsLines(document, await this.look()));
    await this.warnOf(document.warnings);
    return document;
  }
}

const machineOf = (path: string | undefined): ComparedMachine =>
  readCompared(openTree(path), {serials: true, names: true});

const nothingNamed = (): Failure =>
  usageFailure(
    'No machine is given to compare with.',
    'Name a file made by "kvfio snapshot"; it is compared with this host.',
  );

const tooMany = (what: string): Failure => usageFailure(what, 'Leave one of them out.');

const emptyName = (): Failure =>
  usageFailure('The name of a machine is empty.', 'Leave it out for this host.');
