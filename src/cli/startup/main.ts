import {Errors, run} from '@oclif/core';
import {EXIT_CODES} from '../../failure.js';
import {failureOf} from '../usage/failure-of.js';
import type {CommandShape} from '../usage/likely-command.js';
import {Program, type CommandOf} from './program.js';
import {reportFailure} from '../output/report.js';
import {withUsageHint} from '../usage/usage-hint.js';
import {writeAll} from '../output/write-all.js';
import {flush} from '../output/flush.js';

/**
 * Runs the command line. What a command throws it reports itself (base-command.ts); what reaches this place was
 * raised before a command existed, such as an unknown command name.
 *
 * @param root the folder of the package.
 */
export const main = async ({root, commandOf}: {root: string; commandOf: CommandOf}): Promise<void> => {
  const argv = process.argv.slice(2);
  let commands: readonly CommandShape[] = [];
  // before oclif's own listener, which throws
  process.stdout.prependListener('error', endOfOutput);
  writeAll(process.stdout);
  // where not even a failure can be told, its exit code still can
  process.stderr.on('error', () => undefined);
  try {
    // kvfio has neither plugins nor themes of its users, and need not look for them in a home that may be somebody else's
    process.env['KVFIO_DISABLE_THEME'] = 'true';
    const program = new Program(root, commandOf);
    ({commands} = program);
    requireCommand(argv);
    if (argv[0] === '--version' && argv.includes('--verbose')) {
      const {versionLines} = await import('../answers/version-text.js');
      process.stdout.write(`${versionLines(program.version, root).join('\n')}\n`);
      return;
    }
    await run(argv, {root, plugins: new Map([[program.name, program]])});
    // or until its reader has gone away: `| head` is no failure
    await flush(process.stdout);
  } catch (error) {
    // oclif ends --help and --version by throwing an ExitError
    if (error instanceof Error && 'code' in error && error.code === 'EEXIT') {
      process.exitCode ??= (error as Error & {oclif?: {exit?: number}}).oclif?.exit ?? 0;
      return;
    }
    const passThrough = argv.indexOf('--');
    const own = passThrough === -1 ? argv : argv.slice(0, passThrough);
    const failure = await withUsageHint(failureOf(error), {argv, commands});
    process.exitCode = await reportFailure(failure, {
      json: own.includes('--json'),
      colour: !own.includes('--no-color'),
    });
  }
};

/** What may stand in place of a command. */
const ROOT_FLAGS = ['--help', '-h', '--version'];

/** @throws a usage error for a flag that stands where a command is expected, which oclif takes for a command */
const requireCommand = ([first, ...others]: readonly string[]): void => {
  if (first?.startsWith('-') !== true || ROOT_FLAGS.some((flag) => [first, ...others].includes(flag))) return;
  throw new Errors.CLIError(
    others.some((word) => !word.startsWith('-'))
      ? `${first} stands before the command`
      : `There is no command, and no flag ${first} without one`,
  );
};

/** Ends the process when stdout takes nothing more: in peace when its reader went away, else with the reason. */
const endOfOutput = (error: NodeJS.ErrnoException): void => {
  if (error.code === 'EPIPE') return;
  // a failure has been told on stderr, and had no answer to write; a check that failed has one
  if (![undefined, 0, EXIT_CODES.checkFailed].includes(process.exitCode as number | undefined))
    process.exit();
  const errno = error.code ?? 'EIO';
  process.stderr.write(
    `kvfio: The answer could not be written.\n  The kernel answered ${errno} for standard output.\n  What the command has done holds; make room, or write the answer elsewhere.\n`,
  );
  process.exit(EXIT_CODES.kernelRefused);
};
