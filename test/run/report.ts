import type {FileResult} from './conversation.js';
import type {TestResult} from './protocol.js';

export interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

/** What is printed beside failures, skipped tests and counts: a line a test, a line a file, or nothing. */
export type Detail = 'each' | 'file' | 'failures';

/** Prints what became of files of tests, failures whole, and counts. */
export class Report {
  readonly counts: Counts = {passed: 0, failed: 0, skipped: 0};
  readonly #print: (line: string) => void;
  readonly #detail: Detail;
  readonly #skipped: string[] = [];
  /** What failed, each with its reason. */
  readonly failures: string[] = [];
  readonly #took: {where: string; seconds: number}[] = [];

  constructor(print: (line: string) => void, detail: Detail = 'file') {
    this.#print = print;
    this.#detail = detail;
  }

  add({file, place, tests, seconds, problem, noise}: FileResult): void {
    const where = place === '' ? file : `${file} (${place})`;
    const failed = tests.filter(({state}) => state === 'failed');
    const failures = failed.map((test) => `${where}: ${nameOf(test)}\n${test.why ?? ''}`);
    if (problem !== undefined) failures.unshift(`${where}\n${problem}`);
    const skipped = tests.filter(({state}) => state === 'skipped');
    const counts = {
      passed: tests.length - failed.length - skipped.length,
      // what befell a file outside of its tests is a failure, too
      failed: problem !== undefined && failed.length === 0 ? 1 : failed.length,
      skipped: skipped.length,
    };
    for (const name of ['passed', 'failed', 'skipped'] as const) this.counts[name] += counts[name];
    this.#skipped.push(...skipped.map((test) => `${where}: ${nameOf(test)}: ${test.why ?? ''}`));
    this.failures.push(...failures);
    this.#took.push({where, seconds});
    if (tests.length === 0 && problem === undefined) return;
    if (this.#detail !== 'failures' || counts.failed > 0) {
      this.#print(`${counts.failed > 0 ? '✘' : '✔'} ${where}: ${inWords(counts)}, ${seconds.toFixed(1)} s`);
    }
    if (this.#detail === 'each') for (const test of tests) this.#print(lineOf(test));
    for (const failure of failures) this.#print(indented(failure));
    if (failures.length > 0 && noise.trim() !== '') this.#print(indented(`It printed:\n${noise.trimEnd()}`));
  }

  /** Prints each skipped test with its reason, which failed, and which files took longest; the counts are the last line. */
  close(): void {
    for (const line of this.#skipped) this.#print(`skipped: ${line}`);
    for (const failure of this.failures) this.#print(`failed: ${failure.split('\n', 1)[0] ?? ''}`);
    if (this.#took.length > LONGEST) {
      const longest = this.#took.toSorted((a, b) => b.seconds - a.seconds).slice(0, LONGEST);
      this.#print(
        `longest: ${longest.map(({where, seconds}) => `${where} ${seconds.toFixed(0)} s`).join(', ')}`,
      );
    }
    const {passed, failed, skipped} = this.counts;
    this.#print(`\n${passed} passed, ${failed} failed, ${skipped} skipped`);
  }
}

/** How many files are named that took longest. */
const LONGEST = 10;

const SIGNS = {passed: '✔', failed: '✘', skipped: '-'} as const;

const nameOf = ({title}: TestResult): string => title.join(' ');

const lineOf = (test: TestResult): string => {
  const {state, milliseconds, why} = test;
  const end =
    state === 'skipped' ? `: ${why ?? ''}` : milliseconds === undefined ? '' : ` (${milliseconds} ms)`;
  return `    ${SIGNS[state]} ${nameOf(test)}${end}`;
};

/** Leaves out what there is none of. */
const inWords = (counts: Counts): string =>
  Object.entries(counts)
    .filter(([, count]) => count > 0)
    .map(([name, count]) => `${count as number} ${name}`)
    .join(', ');

const indented = (text: string): string => text.replaceAll(/^(?=.)/gm, '    ');
