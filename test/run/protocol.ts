import type {Elsewhere} from '../support/skip.js';

/** Stands before each line of a worker: tests print on the same stream. */
export const MARK = '\x1e';

/** The titles of the suites that a test is in, from the outside, and its own. */
export type Title = readonly string[];

/** What a worker is asked for, one JSON document a line. */
export interface Request {
  /** Relative to the project, as in `test/owner/inject/injected-owner.test.ts`. */
  file: string;
  /** The tests to run; absent, all of the file. */
  titles?: readonly Title[];
}

/** What became of one test. */
export interface TestResult {
  title: Title;
  state: 'passed' | 'failed' | 'skipped';
  milliseconds?: number;
  /** Why it failed or was skipped; a failure has its stack. */
  why?: string;
  /** What it lacked here and may find elsewhere. */
  lacks?: Elsewhere;
}

/** What a worker answers, one JSON document a line, after {@link MARK}. */
export type Answer =
  /** The file was read, and these tests are about to run. */
  | {type: 'begin'; titles: Title[]}
  | {type: 'test'; result: TestResult}
  /** The file is through. `problem` is what befell it outside of any test, such as a hook that failed. */
  | {type: 'end'; problem?: string};
