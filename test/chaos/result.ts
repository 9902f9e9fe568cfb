/** What became of one trial. */
export interface TrialResult {
  what: string;
  rounds: number;
  lost: string[];
  leaked: string[];
  harmed: string[];
  detail: string;
  seconds: number;
}

/** A line of the table. */
export interface Line extends TrialResult {
  name: string;
  /** `this host`, or which guest. */
  where: string;
  /** Why it was not run, or null. */
  missing: string | null;
}

/** A line of a trial that did not get as far as to say something. */
export const emptyLine = (name: string, what = name): Line => ({
  ...{name, what, where: '', missing: null},
  ...{rounds: 0, lost: [], leaked: [], harmed: [], detail: '', seconds: 0},
});

/** A line that did not run does not hold either. */
export const verdictOf = ({missing, rounds, lost, leaked, harmed}: Line): 'held' | 'MISSED' | 'NOT RUN' => {
  if (missing !== null) return 'NOT RUN';
  return rounds > 0 && lost.length + leaked.length + harmed.length === 0 ? 'held' : 'MISSED';
};

/** Whether each of them held, and there is one. */
export const allHeld = (lines: readonly Line[]): boolean =>
  lines.length > 0 && lines.every((line) => verdictOf(line) === 'held');

/** What a trial said last of itself, which may have been ended before it was through, and all else that was written. */
export const readOutput = (output: string): {result: TrialResult | undefined; said: string} => {
  const isResult = (line: string): boolean => line.startsWith('{"what":') && line.endsWith('}');
  const lines = output.split('\n');
  const last = lines.findLast(isResult);
  return {
    result: last === undefined ? undefined : (JSON.parse(last) as TrialResult),
    said: lines
      .filter((line) => !isResult(line))
      .join('\n')
      .trim(),
  };
};
