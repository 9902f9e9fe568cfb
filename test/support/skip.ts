import type {Context} from 'mocha';

/**
 * Skips the running test, or all tests of the running hook's suite, and has the reporter say why.
 *
 * What needs the lab may not be skipped where CI=true: there a missing lab is a failure.
 */
export const skip = (context: Context, reason: string): never => {
  const runnable = context.currentTest ?? context.test;
  const mark = (test: unknown): void => void Object.assign(test as object, {skipReason: reason});
  if (runnable !== undefined && 'type' in runnable && runnable.type === 'hook')
    runnable.parent?.eachTest(mark);
  else mark(runnable);
  return context.skip();
};
