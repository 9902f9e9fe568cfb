import {accessSync, constants, statSync} from 'node:fs';
import {constants as systemConstants} from 'node:os';
import {Flags} from '@oclif/core';
import {BaseCommand} from '../cli/base-command.js';
import {bindLines} from '../cli/answers/bind-text.js';
import {EndingSignals} from '../cli/ending-signals.js';
import {driverFlag, driverWish, forced, guardFlags, patienceFlag, vmmUser} from '../cli/flags/bind-flags.js';
import {dryRunFlag} from '../cli/flags/vm-flags.js';
import {vmmGroupFlag} from '../cli/flags/vmm-flags.js';
import {usageFailure} from '../cli/usage/usage-failure.js';
import {EXIT_CODES, Failure} from '../failure.js';
import {which} from '../lab/programs.js';
import {shellQuote} from '../lab/shell-quote.js';
import {printable} from '../printable.js';
import type {RunDocument} from '../vmm/run-document.js';
import {HELPERS, runVmm} from '../vmm/run-vmm.js';
import {PLACE, VMM_NAMES, vmmOf, type VmmName} from '../vmm/vmm-arguments.js';

export default class Run extends BaseCommand {
  static override summary = 'Run a VMM with groups: bind them, run it, give them back.';

  static override description = `Binds the groups as "kvfio bind" does, runs the VMM with the arguments for their devices (at the end, or in place of the word ${PLACE}), and gives back what it had bound when the VMM has ended.

--user runs the VMM as an ordinary user with a fresh environment and the nodes of the groups, an unlimited RLIMIT_MEMLOCK (VFIO pins the memory of the guest), without capabilities and ways to get some. That user also needs access to /dev/kvm.

kvfio passes SIGINT, SIGTERM and SIGHUP on to the VMM, and waits for its end. If kvfio itself is killed, the VMM runs on with its devices; "kvfio unbind" gives them back later. If the VMM leaves a process behind that holds a group, kvfio does not give that group back, warns, and exits with 5 if the VMM ended with 0.

Otherwise the exit code is that of the VMM, or 128 and the signal that ended it. With --json what the VMM prints on stdout goes to stderr.`;

  static override usage = 'run --group N... [--user NAME] [FLAGS] -- VMM ARGS...';

  static override examples = [
    {
      description: 'QEMU as an ordinary user',
      command: '<%= config.bin %> <%= command.id %> --group 12 --user alice -- qemu-system-x86_64 -m 4G',
    },
    {
      description: 'only the plan, and the command line',
      command:
        '<%= config.bin %> <%= command.id %> --group 12 --dry-run -- crosvm run {vfio} --mem 4096 vmlinux',
    },
  ];

  static override flags = {
    group: vmmGroupFlag,
    user: Flags.string({description: 'user who runs the VMM', helpValue: 'NAME|UID'}),
    vmm: Flags.option({
      helpGroup: 'SETUP',
      options: VMM_NAMES,
      description: 'which VMM it is, if its program has another name',
    })(),
    keep: Flags.boolean({description: 'leave the devices bound in the end'}),
    'dry-run': dryRunFlag,
    driver: {...driverFlag, helpGroup: 'SETUP'},
    timeout: patienceFlag,
    ...guardFlags,
  };

  async run(): Promise<RunDocument> {
    const {own, program: command} = this.splitArgv();
    const {flags} = await this.parse(Run, own);
    const [program, vmm] = vmmOfCommand(command, flags.vmm);
    const user = vmmUser(flags.user);
    if (user !== null) requireHelpers();

    let pass: (signal: NodeJS.Signals) => void = () => undefined;
    using ending = new EndingSignals({
      onEach: (signal) => {
        pass(signal);
      },
    });
    const document = await runVmm({
      groups: flags.group,
      vmm,
      command: [program, ...command.slice(1)],
      user,
      keep: flags.keep,
      driver: driverWish(flags.driver),
      force: forced(flags),
      dryRun: flags['dry-run'],
      timeout: flags.timeout,
      stdout: this.jsonEnabled() ? 2 : 1,
      signals: {
        get aborted() {
          return ending.signal.aborted;
        },
        onSignal: (next) => {
          pass = next;
        },
      },
      onNote: (line) => {
        this.note(line);
      },
    });
    if (document.dryRun && !this.jsonEnabled()) {
      await this.printFacts((paint) => bindLines(document.bind, paint));
      this.printLines([printable(`then: ${document.command.map(asTyped).join(' ')}`)]);
    }
    await this.warnOf([
      ...document.bind.warnings,
      ...document.unbind.flatMap(({warnings}) => warnings),
      ...document.kept,
    ]);
    process.exitCode = exitCodeOf(document, ending.received);
    return document;
  }
}

/**
 * The path of the VMM, and which one it is.
 *
 * @throws {@link Failure} for a program that is not there, or of which kvfio does not know what it is
 */
const vmmOfCommand = (
  [program]: readonly string[],
  named: VmmName | undefined,
): readonly [path: string, vmm: VmmName] => {
  if (program === undefined) throw usageFailure('No VMM is named.', 'Name its command line after "--".');
  const path = pathOf(program);
  if (path === null)
    throw new Failure({
      code: 'VMM_NOT_FOUND',
      kind: 'notFound',
      what: `There is no program ${program}.`,
      why: program.includes('/')
        ? 'The path has no file that you may execute.'
        : 'No folder of PATH has one of that name.',
      hint: 'Install it, or name it with its path.',
    });
  const vmm = named ?? vmmOf(program);
  if (vmm === null)
    throw usageFailure(
      `kvfio does not know which VMM ${program} is.`,
      `Name it with --vmm: ${VMM_NAMES.join(', ')}.`,
    );
  return [path, vmm];
};

/** By which the VMM becomes the user's. */
const requireHelpers = (): void => {
  const missing = HELPERS.filter((name) => pathOf(name) === null);
  if (missing.length === 0) return;
  throw new Failure({
    code: 'PROGRAM_NOT_FOUND',
    kind: 'notFound',
    what: 'kvfio cannot run the VMM as another user.',
    why: `There is no ${missing.join(' and no ')} in PATH.`,
    hint: 'Install util-linux, or leave out --user.',
  });
};

/** Where a program is; null when there is none that this user may execute. */
const pathOf = (program: string): string | null => {
  if (!program.includes('/')) return which(program, process.env['PATH'] ?? '');
  try {
    accessSync(program, constants.X_OK);
    return statSync(program).isFile() ? program : null;
  } catch {
    return null;
  }
};

/** As a shell wants it. */
const asTyped = (word: string): string => (/^[\w@%+=:,./-]+$/.test(word) ? word : shellQuote(word));

const exitCodeOf = ({end, bind, dryRun, kept}: RunDocument, received: NodeJS.Signals | null): number => {
  if (dryRun) return bind.refused.length > 0 ? EXIT_CODES.refused : 0;
  const signal = end === null ? received : (end.signal as NodeJS.Signals | null);
  if (signal !== null) return 128 + systemConstants.signals[signal];
  return end?.exitCode || (kept.length > 0 ? EXIT_CODES.refused : 0);
};
