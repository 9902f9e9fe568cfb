// Runs files of tests in this process, which it is asked for on descriptor 3, and answers on stdout test by test (protocol.ts).
import {readFileSync} from 'node:fs';
import {Socket} from 'node:net';
import {join} from 'node:path';
import {createInterface} from 'node:readline';
import {pathToFileURL} from 'node:url';
import {inspect} from 'node:util';
import Mocha from 'mocha';
import {SLOWNESS} from '../support/pace.js';
import {PROJECT} from '../support/run.js';
import type {Skipped} from '../support/skip.js';
import {MARK, type Answer, type Request, type TestResult, type Title} from './protocol.js';

/** Where the compiled form of the tests is, which a guest runs; absent, their sources are run. */
const COMPILED = process.env['KVFIO_TEST_COMPILED'];

const OPTIONS = JSON.parse(readFileSync(join(PROJECT, '.mocharc.json'), 'utf8')) as {timeout: number};

// tests close stdin, and catch what this process prints
const write = process.stdout.write.bind(process.stdout);
const answer = (line: Answer): void => void write(`${MARK}${JSON.stringify(line)}\n`);

const main = async (): Promise<void> => {
  slowDownContexts();
  for await (const line of createInterface(new Socket({fd: 3}))) await runFile(JSON.parse(line) as Request);
  process.exit(0);
};

const runFile = async ({file, titles}: Request): Promise<void> => {
  const mocha = new Mocha({timeout: OPTIONS.timeout, forbidOnly: true, reporter: Silent});
  let problem: string | undefined;
  try {
    await load(
      mocha,
      COMPILED === undefined ? join(PROJECT, file) : join(COMPILED, file.replace(/ts$/, 'mjs')),
    );
    if (titles !== undefined) keep(mocha.suite, new Set(titles.map(keyOf)));
    slowDown(mocha.suite);
    answer({type: 'begin', titles: rememberTitles(mocha.suite)});
    problem = await finished(mocha);
  } catch (error) {
    problem = textOf(error);
  }
  answer({type: 'end', ...(problem === undefined ? {} : {problem})});
};

/**
 * Loads a file as mocha does, but always by import(). mocha would require() it first, and tsx then has two copies of each
 * module that is also imported on demand, whose errors are not of one class.
 */
const load = async (mocha: Mocha, path: string): Promise<void> => {
  const {EVENT_FILE_PRE_REQUIRE, EVENT_FILE_POST_REQUIRE} = Mocha.Suite.constants;
  mocha.suite.emit(EVENT_FILE_PRE_REQUIRE, globalThis, path, mocha);
  await import(pathToFileURL(path).href);
  mocha.suite.emit(EVENT_FILE_POST_REQUIRE, globalThis, path, mocha);
};

/** Runs what was loaded, and returns what failed of its hooks. */
const finished = (mocha: Mocha): Promise<string | undefined> =>
  new Promise((resolve) => {
    const problems: string[] = [];
    const runner = mocha.run(() => {
      resolve(problems.length === 0 ? undefined : problems.join('\n'));
    });
    const report = (test: Mocha.Test, rest: Omit<TestResult, 'title'>): void => {
      answer({type: 'test', result: {title: TITLES.get(test) ?? test.titlePath(), ...rest}});
    };
    runner.on('pass', (test) => {
      report(test, {state: 'passed', milliseconds: test.duration ?? 0});
    });
    runner.on('pending', (test) => {
      const {skipReason, skipLacks} = test as Skipped;
      if (skipReason === undefined) report(test, {state: 'failed', why: 'It was skipped without a reason.'});
      else
        report(test, {
          state: 'skipped',
          why: skipReason,
          ...(skipLacks === undefined ? {} : {lacks: skipLacks}),
        });
    });
    runner.on('fail', (runnable: Mocha.Test | Mocha.Hook, error: unknown) => {
      if (runnable.type === 'test') report(runnable, {state: 'failed', why: textOf(error)});
      else problems.push(`${runnable.titlePath().join(' > ')}: ${textOf(error)}`);
    });
  });

/** mocha's own reporters write to stdout. */
class Silent extends Mocha.reporters.Base {}

const keyOf = (title: Title): string => JSON.stringify(title);

const keep = (suite: Mocha.Suite, wanted: ReadonlySet<string>): void => {
  suite.tests = suite.tests.filter((test) => wanted.has(keyOf(test.titlePath())));
  for (const each of suite.suites) keep(each, wanted);
};

/** The titles of tests before they ran: one may add to its own what it counted. */
const TITLES = new WeakMap<Mocha.Test, Title>();

const rememberTitles = (suite: Mocha.Suite): Title[] => {
  const titles: Title[] = [];
  suite.eachTest((test) => {
    TITLES.set(test, test.titlePath());
    titles.push(test.titlePath());
  });
  return titles;
};

/** Gives all that was loaded more time. */
const slowDown = (suite: Mocha.Suite): void => {
  const hooks = ['_beforeAll', '_beforeEach', '_afterEach', '_afterAll'] as const;
  const own = suite as unknown as Record<(typeof hooks)[number], Mocha.Hook[]>;
  for (const each of [...suite.tests, ...hooks.flatMap((name) => own[name])])
    each.timeout(each.timeout() * SLOWNESS);
  for (const each of suite.suites) slowDown(each);
};

/** Gives more time also to tests and hooks that set their own while they run. */
const slowDownContexts = (): void => {
  const {prototype} = Mocha.Context as unknown as {prototype: Record<'timeout', (ms?: number) => unknown>};
  const {timeout} = prototype;
  prototype.timeout = function (ms?: number) {
    return ms === undefined ? timeout.call(this) : timeout.call(this, ms * SLOWNESS);
  };
};

const textOf = (error: unknown): string => {
  if (!(error instanceof Error)) return inspect(error);
  const cause = error.cause === undefined ? '' : `\nbecause of ${inspect(error.cause)}`;
  return `${error.stack ?? error.message}${cause}`;
};

await main();
