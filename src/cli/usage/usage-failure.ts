import {Failure} from '../../failure.js';

/** A command line that cannot be meant. */
export const usageFailure = (why: string, hint: string, cause?: unknown): Failure =>
  new Failure({
    code: 'USAGE',
    kind: 'usage',
    what: 'The command line was not understood.',
    why,
    hint,
    cause,
  });
