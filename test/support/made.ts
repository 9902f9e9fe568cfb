import type {Context} from 'mocha';

type Make<T> = (this: Context) => T | Promise<T>;

/**
 * Makes something before the tests of this suite, and disposes of it after them if it was made.
 *
 * `after` alone would also run when `before` was skipped or has failed, and fail on what is not there.
 */
export const made = <T extends Disposable | AsyncDisposable>(make: Make<T>): void => {
  pair(make, before, after);
};

/** The same before and after each test. */
export const madeForEach = <T extends Disposable | AsyncDisposable>(make: Make<T>): void => {
  pair(make, beforeEach, afterEach);
};

type Hook = (body: (this: Context) => Promise<void>) => void;

const pair = <T extends Disposable | AsyncDisposable>(make: Make<T>, first: Hook, last: Hook): void => {
  let thing: T | undefined;
  first(async function () {
    thing = await make.call(this);
  });
  last(async () => {
    const there = thing;
    thing = undefined;
    if (there === undefined) return;
    if (Symbol.asyncDispose in there) await there[Symbol.asyncDispose]();
    else there[Symbol.dispose]();
  });
};
