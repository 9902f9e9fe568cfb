import {capital, listed} from '../../words.js';
import type {ChalkInstance} from 'chalk';
import type {CheckResult, DoctorDocument} from '../../doctor/doctor.js';
import {printable} from '../../printable.js';
import {wrapped} from '../output/wrap.js';

/** The answer of `kvfio doctor` for people: a line for what passes, and for the rest why it matters and what to do. */
export const doctorLines = (
  {checks, failed, undecided, purpose, kernel, distribution}: DoctorDocument,
  {paint, width}: {paint: ChalkInstance; width: number | null},
): string[] => {
  const line = (check: CheckResult): string[] => {
    const label = labelOf(check);
    const more =
      check.state === 'pass'
        ? []
        : [check.matters, check.remedy === null ? null : `To cure it, ${check.remedy}`];
    return [
      ...wrapped(
        // to fail is said by the label, and a note has none of that
        printable(`${label === 'note' ? check.otherwise : check.title}: ${check.seen}`),
        width,
        INDENT,
        COLOURS[label](label.padEnd(INDENT.length), paint),
      ),
      ...more.flatMap((text) =>
        text === null ? [] : wrapped(`${printable(capital(text))}.`, width, INDENT),
      ),
    ];
  };
  const about = [distribution, kernel === null ? null : `Linux ${kernel}`].filter((part) => part !== null);
  return [
    ...(about.length === 0 ? [] : [printable(about.join(', '))]),
    ...checks.flatMap(line),
    '',
    ...wrapped(printable(summary({checks, failed, undecided, purpose})), width, ''),
  ];
};

/** What fails, by name: the lines about it may have left the screen. */
const summary = ({
  checks,
  failed,
  undecided,
  purpose,
}: Pick<DoctorDocument, 'checks' | 'failed' | 'undecided' | 'purpose'>): string => {
  const unknown = undecided === 0 ? '' : `; ${undecided} ${undecided === 1 ? 'is' : 'are'} undecided`;
  const needs = purpose === null ? '' : ` that ${purpose} needs`;
  if (failed === 0) return `No check${needs} fails${unknown}.`;
  const names = checks.filter((check) => labelOf(check) === 'FAIL').map(({title}) => `"${title}"`);
  return `${failed} ${failed === 1 ? 'check fails' : 'checks fail'}${needs}: ${listed(names)}${unknown}.`;
};

type Label = 'pass' | 'FAIL' | 'note' | '?';

/** What fails and is not needed is a note. */
const labelOf = ({state, needed}: CheckResult): Label =>
  state === 'pass' ? 'pass' : state === 'unknown' ? '?' : needed ? 'FAIL' : 'note';

const COLOURS: Record<Label, (text: string, paint: ChalkInstance) => string> = {
  pass: (text, paint) => paint.green(text),
  FAIL: (text, paint) => paint.red(text),
  note: (text, paint) => paint.yellow(text),
  '?': (text, paint) => paint.dim(text),
};

const INDENT = '      ';
