import type {RunOptions} from '../../probe/run.js';
import {phaseWords} from '../../probe/series-name.js';
import type {Phase} from '../../probe/series.js';
import {Progress} from '../output/progress.js';

/** Shows how far a run of the probe is, on a terminal, and prints a note about one that takes long. */
export class ProbeProgress implements Disposable {
  readonly #progress = new Progress();
  readonly #note: (line: string) => void;
  readonly #dirty: string | undefined;
  #isLong = false;

  /**
   * @param note - prints a line on stderr
   * @param dirty - the value of `--dirty`
   */
  constructor(note: (line: string) => void, dirty: string | undefined) {
    this.#note = note;
    this.#dirty = dirty;
  }

  readonly onProgress: RunOptions['onProgress'] = (phase, taken, wanted, secondsLeft) => {
    if (!this.#isLong && secondsLeft !== null && secondsLeft > LONG_SECONDS) {
      this.#isLong = true;
      this.onNotice(longRun(secondsLeft, phase, this.#dirty));
    }
    this.#progress.show(
      () =>
        `${phase === 'alone' ? '' : `${phaseWords(phase).trim()}: `}${taken} of ${wanted} samples${secondsLeft === null ? '' : `, about ${durationText(secondsLeft)} to go`}`,
    );
  };

  readonly onNotice = (line: string): void => {
    this.#progress.clear();
    this.#note(line);
  };

  [Symbol.dispose](): void {
    this.#progress[Symbol.dispose]();
  }
}

/** Seconds after which whoever waits is told for how long. */
const LONG_SECONDS = 15;

const longRun = (seconds: number, phase: Phase, dirty: string | undefined): string => {
  const which = phase === 'alone' ? 'this' : `the part ${phaseWords(phase).trim()}`;
  const why = dirty === undefined ? '' : `, as the guest writes ${dirty} before each sample`;
  return `${which} takes about ${durationText(seconds)} more${why}; less with smaller --samples, --warmup${dirty === undefined ? '' : ' or --dirty'}, or with --duration`;
};

const durationText = (seconds: number): string =>
  seconds < 100 ? `${Math.ceil(seconds)} s` : `${Math.ceil(seconds / 60)} minutes`;
