import {Errors} from '@oclif/core';
import {Failure} from '../failure.js';
import {usageFailure} from './usage-failure.js';
import {usageSentence} from './usage-sentence.js';

/** Turns whatever was thrown into a {@link Failure}: itself, a usage error from the parser, or a bug. */
export const failureOf = (error: unknown): Failure => {
  if (error instanceof Failure) return error;
  if (error instanceof Errors.CLIError) {
    return usageFailure(
      usageSentence(error.message),
      /^(?:command|Command) \S+ not found$/.test(error.message)
        ? 'Run "kvfio --help" to see the commands there are.'
        : 'Run the command with --help to see what it takes.',
      error,
    );
  }
  const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return new Failure({
    code: 'BUG',
    kind: 'bug',
    what: 'kvfio met a situation that its authors did not foresee.',
    why: detail,
    hint: 'This is a bug in kvfio: please report the lines above together with the output of "kvfio snapshot".',
    cause: error,
  });
};
