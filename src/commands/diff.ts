import {Args, Flags} from '@oclif/core';
import {BaseCommand} from '../cli/base-command.js';
import {diffLines} from '../cli/diff-text.js';
import {kindsLines} from '../cli/kinds-text.js';
import {Progress} from '../cli/progress.js';
import {usageFailure} from '../cli/usage-failure.js';
import {baselineDocument, type BaselineDocument} from '../diff/baseline-document.js';
import {diffDocument, type DiffDocument} from '../diff/diff-document.js';
import {readCompared, type ComparedMachine} from '../diff/machine.js';
import {EXIT_CODES, type Failure} from '../failure.js';
import {openTree} from '../linux/open-tree.js';
import {grouped} from '../numbers.js';

export default class Diff extends BaseCommand {
  static override summary = 'Compare two machines, or many with one: groups, devices, verdicts, kernels.';

  static override description = `Each machine is a file made by "kvfio snapshot", or a folder that holds sys and proc; without B it is this host. Compared are the kernel's release and what of its command line concerns IOMMU, VFIO, PCI and KVM; the IOMMU units with their registers; the groups with their numbers and members; and of each device its address, group, driver, unit, and whether it is coherent and assignable.

A device is found in the other machine by its serial, where both show one (snapshots keep none), else by the slots that lead to it and its ids, else by its ids alone. So one in another slot, or whose address differs because a bridge was added before it, has "moved". Where several of one model are left, they are taken in their order, and the answer says that this is a guess.

--baseline reads all snapshots of a folder in one pass, each up to 32 MiB unpacked. Hosts of which nothing differs are one kind. The odd ones out are those that differ from the baseline and are alone, or less than one in a hundred. What is no snapshot is named and counted.

The exit code is 0 whether or not something differs. With --expect it is 7 when something does.`;

  static override usage = [
    'diff A [B] [FLAGS]',
    'diff --expect FILE [B] [FLAGS]',
    'diff --baseline A DIR [FLAGS]',
  ];

  static override examples = [
    {
      description: 'What has changed on this host since:',
      command: '<%= config.bin %> <%= command.id %> before.json.gz',
    },
    {
      description: 'In a script, after an update:',
      command: '<%= config.bin %> <%= command.id %> --expect before.json.gz --quiet || exit',
    },
    {
      description: 'The hosts of a fleet, and which are unlike the others:',
      command: '<%= config.bin %> <%= command.id %> --baseline golden.json.gz snapshots/',
    },
  ];

  static override args = {
    a: Args.string({
      description: 'the first machine, a file or a folder; the only one with --expect or --baseline',
    }),
    b: Args.string({description: 'the other machine; this host when it is left out'}),
  };

  static override flags = {
    expect: Flags.string({
      description: 'the machine that B, or this host, is to be; exit with 7 when anything differs',
      helpValue: 'FILE',
      exclusive: ['baseline'],
    }),
    baseline: Flags.string({
      description: 'compare each snapshot of a folder with this machine',
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
