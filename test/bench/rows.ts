import type {Place} from '../support/place.js';
import type {PlaceEnding} from '../support/places.js';
import type {Figure, Line} from './benchmark.js';

/** A line with its figure, or the reason why there is none. */
export type Row = Line & {where: string} & (Figure | {missing: string});

/** What a benchmark prints. */
export type Measured = {figures: readonly Figure[]} | {missing: string};

/** A row that was not measured does not hold. */
export const held = (row: Row): boolean =>
  !('missing' in row) && (row.most === null || row.value <= row.most);

/** Whether each row was measured, and holds; in the short form a miss is only told, as few rounds prove nothing. */
export const passes = (rows: readonly Row[], short: boolean): boolean =>
  rows.length > 0 && rows.every((row) => !('missing' in row) && (short || held(row)));

export interface Ran {
  lines: readonly Line[];
  place: Place;
  /** The place in words. */
  where: string;
  ending: PlaceEnding | {missing: string};
}

/** The rows of one benchmark. */
export const rowsOf = ({lines, place, where, ending}: Ran): Row[] => {
  const measured = 'missing' in ending ? ending : readMeasured(ending);
  const missing = (reason: string): Row[] =>
    lines.map((line) => ({...line, where, missing: reason.replaceAll(/\s*\n\s*/g, ' ').trim()}));
  if ('missing' in measured) return missing(measured.missing);
  const {figures} = measured;
  if (figures.length !== lines.length)
    return missing(`it measured ${figures.length} figures for ${lines.length} lines`);
  return lines.flatMap((line, index) => {
    const figure = figures[index];
    if (figure === undefined) return [];
    // ratios are side by side in the guest, too; the time of an emulated processor says nothing of kvfio
    const most = place === 'lab' && (line.unit === 'ms' || line.unit === 'us') ? null : line.most;
    return [{...line, ...figure, most, where}];
  });
};

const readMeasured = ({status, output}: PlaceEnding): Measured => {
  const lines = output.split('\n');
  const last = lines.findLast((line) => /^\{"(figures|missing)":/.test(line) && line.endsWith('}'));
  if (status === '0' && last !== undefined) return JSON.parse(last) as Measured;
  return {missing: `it ended with ${status} and no figures: ${output.trim()}`};
};
