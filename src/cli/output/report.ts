import type {Failure} from '../../failure.js';
import {colourFor} from './colour.js';
import {printable, printableJson} from '../../printable.js';
import {stderrWidth, wrapped} from './wrap.js';

/** The document that every command prints instead of its result when it fails under `--json`. */
export interface ErrorDocument {
  schemaVersion: 1;
  error: {
    /** Stable name of the failure, such as `GROUP_NOT_FOUND`. */
    code: string;
    /** The exit code of the process. */
    exit: number;
    /** The kernel's error number by name, or null where the kernel was not involved. */
    errno: string | null;
    /** What failed and why. */
    message: string;
    /** What to do about it. */
    hint: string;
  };
}

/** Prints a failure, as three lines on stderr or as one JSON document on stdout, and returns its exit code. */
export const reportFailure = async (
  failure: Failure,
  {json, colour}: {json: boolean; colour: boolean},
): Promise<number> => {
  if (json) {
    const document: ErrorDocument = {
      schemaVersion: 1,
      error: {
        code: failure.code,
        exit: failure.exitCode,
        errno: failure.errno,
        message: failure.message,
        hint: failure.hint,
      },
    };
    process.stdout.write(`${printableJson(document, 2)}\n`);
  } else {
    const paint = await colourFor('stderr', colour);
    const width = stderrWidth();
    const lines = [
      ...wrapped(printable(failure.what), width, '  ', `${paint.red('kvfio:')} `),
      ...[...failure.why.split('\n'), failure.hint].flatMap((line) => wrapped(printable(line), width, '  ')),
    ];
    process.stderr.write(`${lines.join('\n')}\n`);
  }
  return failure.exitCode;
};
