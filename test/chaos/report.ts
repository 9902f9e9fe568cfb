import {plainTable} from './plain-table.js';
import {verdictOf, type Line} from './result.js';

/** All that was found, at most five of a kind, and the table. */
export const reportOf = (lines: readonly Line[]): string =>
  [...lines.flatMap(findingsOf), tableOf(lines)].join('\n');

const findingsOf = ({name, missing, lost, leaked, harmed}: Line): string[] => [
  ...(missing === null ? [] : [`${name} did not run: ${missing}\n`]),
  ...Object.entries({lost, leaked, harmed}).flatMap(([kind, found]) => [
    ...found.slice(0, 5).map((each) => `${name}, ${kind}: ${each}\n`),
    ...(found.length > 5 ? [`${found.length - 5} more\n`] : []),
  ]),
];

const tableOf = (lines: readonly Line[]): string =>
  plainTable([
    ['what', 'where', 'rounds', 'lost', 'leaked', 'harmed', '', 's', 'detail'],
    ...lines.map((line) => [
      ...[line.what, line.where, String(line.rounds)],
      ...[line.lost, line.leaked, line.harmed].map((found) => String(found.length)),
      ...[verdictOf(line), line.seconds.toFixed(0), line.detail],
    ]),
  ]);
