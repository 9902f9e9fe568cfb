/**
 * What can go wrong from a user's point of view, and the exit code that scripts branch on.
 *
 * Every layer may throw a {@link Failure}; only the command line prints one. Anything else that is thrown is a
 * bug and exits with 1.
 */

/** The kinds of failure and their exit codes. They are a contract with scripts: never renumber. */
export const EXIT_CODES = {
  bug: 1,
  usage: 2,
  notFound: 3,
  permission: 4,
  refused: 5,
  kernelRefused: 6,
  checkFailed: 7,
  cannotDecide: 8,
  rolledBack: 9,
  timeout: 124,
} as const;

export type FailureKind = keyof typeof EXIT_CODES;

export interface FailureParts {
  /** Stable upper-case name of this failure, such as `GROUP_NOT_FOUND`. Scripts may compare it. */
  code: string;
  kind: FailureKind;
  /** One sentence: what failed. */
  what: string;
  /** One sentence: why. */
  why: string;
  /** One sentence: what to do about it. */
  hint: string;
  /** Name of the kernel's error number, such as `EBUSY`, where the kernel gave one. */
  errno?: string | undefined;
  cause?: unknown;
}

/** A failure that is reported to the user in three sentences: what failed, why, and what to do. */
export class Failure extends Error {
  readonly code: string;
  readonly kind: FailureKind;
  readonly what: string;
  readonly why: string;
  readonly hint: string;
  readonly errno: string | null;

  constructor({code, kind, what, why, hint, errno, cause}: FailureParts) {
    super(`${what} ${why}`, {cause});
    this.name = 'Failure';
    this.code = code;
    this.kind = kind;
    this.what = what;
    this.why = why;
    this.hint = hint;
    this.errno = errno ?? null;
  }

  get exitCode(): number {
    return EXIT_CODES[this.kind];
  }
}
