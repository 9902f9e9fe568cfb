import {Errors} from '@oclif/core';
import {Failure} from '../../failure.js';
import {ALL_COMMANDS} from './failure-of.js';
import type {CommandShape} from './likely-command.js';

/**
 * Gives the failure of a command line that was not understood the command that was likely meant as its hint, or else
 * names the help of the command. Any other failure stays as it is.
 *
 * @param argv - all words after the program's name
 */
export const withUsageHint = async (
  failure: Failure,
  {argv, commands}: {argv: readonly string[]; commands: readonly CommandShape[]},
): Promise<Failure> => {
  if (failure.code !== 'USAGE') return failure;
  // loaded for wrong command lines only
  const {commandText, likelyCommand} = await import('./likely-command.js');
  const likely = likelyCommand(argv, commands);
  const [id = ''] = argv;
  const help = commands.some((command) => command.id === id) ? [id, '--help'] : null;
  const hint =
    likely !== null
      ? `Did you mean "${commandText(likely)}"?`
      : !(failure.cause instanceof Errors.CLIError)
        ? failure.hint
        : help !== null && failure.hint !== ALL_COMMANDS
          ? `Run "${commandText(help)}" to see what it takes.`
          : ALL_COMMANDS;
  const {code, kind, what, why, cause} = failure;
  return new Failure({code, kind, what, why, hint, cause});
};
