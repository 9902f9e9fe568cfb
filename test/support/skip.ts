import type {Context} from 'mocha';

/** What a test lacks that it finds in the lab, in a build, as root or in a whole run, as opposed to a program or a device. */
export type Elsewhere = 'kvm' | 'root' | 'build' | 'lab' | 'time';

/** What the reporters read of a skipped test. */
export interface Skipped {
  skipReason?: string;
  /** Where the runner of `npm test` may find what this test lacks. */
  skipLacks?: Elsewhere;
}

/**
 * Skips the running test, or all tests of the running hook's suite, and has the reporter say why.
 *
 * A skip without a reason is a failure in `npm test`.
 */
export const skip = (context: Context, reason: string, lacks?: Elsewhere): never => {
  const mark = (test: object | undefined): void =>
    void Object.assign(test ?? {}, {
      skipReason: reason,
      ...(lacks === undefined ? {} : {skipLacks: lacks}),
    } satisfies Skipped);
  // in a hook before all tests, currentTest is only the first of them
  const running = context.test;
  if (running === undefined || !('type' in running) || running.type !== 'hook') mark(running);
  else if (running.title.startsWith('"before each"')) mark(context.currentTest);
  else running.parent?.eachTest(mark);
  return context.skip();
};
