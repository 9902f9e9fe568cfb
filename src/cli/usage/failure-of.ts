import {Errors} from '@oclif/core';
import {Failure} from '../../failure.js';
import {usageFailure} from './usage-failure.js';
import {isUnknownCommand, usageSentence} from './usage-sentence.js';

/** What a process may run out of at whatever call: nobody can foresee where, and it is no bug. */
const EXHAUSTED: Record<string, [why: string, hint: string]> = {
  EMFILE: ['kvfio may open no more files', 'Raise the limit of open files (ulimit -n), and run it again.'],
  ENFILE: [
    'no process of this host may open more files',
    'Raise /proc/sys/fs/file-max, or end what has so many files open.',
  ],
  ENOMEM: ['there is no memory left', 'Free some memory, or raise the limit of the cgroup or process.'],
};

/** The hint where no command is near to what was typed. */
export const ALL_COMMANDS = 'Run "kvfio --help" to see the commands there are.';

const exhaustion = (error: unknown): Failure | null => {
  if (!(error instanceof Error && 'code' in error && 'syscall' in error)) return null;
  const {code, syscall} = error;
  const told = EXHAUSTED[String(code)];
  if (told === undefined) return null;
  const path = 'path' in error && typeof error.path === 'string' ? ` ${error.path}` : '';
  return new Failure({
    code: 'EXHAUSTED',
    kind: 'kernelRefused',
    what: 'kvfio could not go on.',
    why: `The kernel answered ${String(code)} to ${String(syscall)}${path}: ${told[0]}.`,
    hint: told[1],
    errno: String(code),
    cause: error,
  });
};

/**
 * Turns whatever was thrown into a {@link Failure}: itself, a usage error from the parser, a host that has run out of
 * something, or a bug.
 */
export const failureOf = (error: unknown): Failure => {
  if (error instanceof Failure) return error;
  if (error instanceof Errors.CLIError) {
    return usageFailure(
      usageSentence(error.message),
      isUnknownCommand(error.message) ? ALL_COMMANDS : 'Run the command with --help to see what it takes.',
      error,
    );
  }
  const exhausted = exhaustion(error);
  if (exhausted !== null) return exhausted;
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
