import {MARK, type Answer, type Request, type TestResult, type Title} from './protocol.js';

/** What became of one file in one place. */
export interface FileResult {
  file: string;
  /** Where it ran, for people; empty for this host. */
  place: string;
  tests: TestResult[];
  /** Seconds that it took, after those before it in the same worker. */
  seconds: number;
  /** What befell it outside of any test. */
  problem?: string;
  /** What tests printed. */
  noise: string;
}

interface Running {
  request: Request;
  /** Absent until the file was read. */
  titles: readonly Title[] | undefined;
  tests: TestResult[];
  noise: string;
  resolve: (result: FileResult) => void;
}

/** The runner's end of a talk with a worker, which runs one file after the other. */
export class Conversation {
  readonly #send: (line: string) => void;
  readonly #place: string;
  readonly #waiting: Running[] = [];
  #rest = '';
  /** Milliseconds. */
  #begin = 0;
  #over: string | undefined;

  constructor(send: (line: string) => void, place: string) {
    this.#send = send;
    this.#place = place;
  }

  /** Whether the worker answers no more. */
  get isOver(): boolean {
    return this.#over !== undefined;
  }

  /** Whether nothing is asked for. */
  get isIdle(): boolean {
    return this.#waiting.length === 0;
  }

  /** Has the worker run a file when it is through with those before. Never rejects. */
  run(request: Request): Promise<FileResult> {
    return new Promise((resolve) => {
      if (this.#waiting.length === 0) this.#begin = performance.now();
      this.#waiting.push({request, titles: request.titles, tests: [], noise: '', resolve});
      if (this.#over === undefined) this.#send(`${JSON.stringify(request)}\n`);
      else this.over(this.#over);
    });
  }

  /** Takes what the worker wrote to stdout. */
  receive(text: string): void {
    this.#rest += text;
    for (;;) {
      const start = this.#rest.indexOf(MARK);
      const end = this.#rest.indexOf('\n', start);
      if (start === -1 || end === -1) return;
      this.noise(this.#rest.slice(0, start));
      const line = this.#rest.slice(start + MARK.length, end);
      this.#rest = this.#rest.slice(end + 1);
      this.#take(JSON.parse(line) as Answer);
    }
  }

  /** Takes what tests printed. */
  noise(text: string): void {
    const [running] = this.#waiting;
    if (running !== undefined) running.noise += text;
  }

  /** Ends what is asked for and was not answered: each test that was not reported has failed, for this reason. */
  over(reason: string): void {
    this.#over ??= reason;
    this.noise(this.#rest);
    this.#rest = '';
    while (this.#waiting.length > 0) this.#finish(reason);
  }

  #take(answer: Answer): void {
    const [running] = this.#waiting;
    if (running === undefined) return;
    if (answer.type === 'begin') running.titles ??= answer.titles;
    else if (answer.type === 'test') running.tests.push(answer.result);
    else this.#finish(answer.problem);
  }

  #finish(problem: string | undefined): void {
    const running = this.#waiting.shift();
    if (running === undefined) return;
    const {request, titles = [], tests, noise} = running;
    const reported = tests.map(({title}) => JSON.stringify(title));
    const unreported = titles.filter((title) => {
      const at = reported.indexOf(JSON.stringify(title));
      if (at !== -1) reported.splice(at, 1);
      return at === -1;
    });
    const why = `It did not run: ${problem?.split('\n', 1)[0] ?? 'its worker has not reported it.'}`;
    const end = performance.now();
    running.resolve({
      file: request.file,
      seconds: (end - this.#begin) / 1000,
      place: this.#place,
      tests: [...tests, ...unreported.map((title) => ({title, state: 'failed' as const, why}))],
      noise,
      ...(problem === undefined ? {} : {problem}),
    });
    this.#begin = end;
  }
}
