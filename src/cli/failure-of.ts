import {Errors} from '@oclif/core';
import {Failure} from '../failure.js';

/** oclif's own sentence on one line, without its pointer to --help, which {@link Failure.hint} gives. */
const sentence = (message: string): string =>
  message
    .replace(/\n*See more help with --help\s*$/, '')
    .replace(/^The following errors? occurred:\s*/, '')
    .replace(/--(\S+)=true\b/g, '--$1')
    .replace(
      /^(?:command|Command) (\S+) not found$/,
      (_, id: string) => `There is no command "${id.replaceAll(':', ' ')}"`,
    )
    .replace(/^(Missing \d+ required args?):\n(\S+)[^]*$/, '$1: $2')
    .trim()
    .replace(/\s*\n+\s*/g, '; ');

/** Turns whatever was thrown into a {@link Failure}: itself, a usage error from the parser, or a bug. */
export const failureOf = (error: unknown): Failure => {
  if (error instanceof Failure) return error;
  if (error instanceof Errors.CLIError) {
    return new Failure({
      code: 'USAGE',
      kind: 'usage',
      what: 'The command line was not understood.',
      why: `${sentence(error.message)}.`.replace(/([.!?])\.$/, '$1'),
      hint: /^(?:command|Command) \S+ not found$/.test(error.message)
        ? 'Run "kvfio --help" to see the commands there are.'
        : 'Run the command with --help to see what it takes.',
      cause: error,
    });
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
