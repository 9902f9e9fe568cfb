/**
 * Has kvfio work with owners of every kind, each of which checks itself, and prints what became of them:
 *
 *     npm run zoo -- [--short] [--here | --lab SERIES...] [--install] [PART OF A NAME...]
 *
 * On this host where it has KVM, and on the kernels of the lab. An owner ends as undisturbed, refused or harmed. Ends with 1 unless
 * each is served, or refused for the reason that the table of kinds has, because no thread of it would do. What cannot be made here
 * is NOT RUN, which alone does not count as wrong unless nothing was run at all.
 *
 * `--short` is the form for continuous integration: one owner of each program, once, in one place, and kvfio is not killed.
 */
import {mkdirSync, mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {parseArgs} from 'node:util';
import {inNamespaces} from '../chaos/in-namespaces.js';
import {plainTable} from '../chaos/plain-table.js';
import {compilePrograms} from '../support/compile-programs.js';
import {whyMissing} from '../support/needs.js';
import type {Place} from '../support/place.js';
import {Places} from '../support/places.js';
import {buildOnce} from '../support/run.js';
import {isRight, type Cell} from './ending.js';
import {KINDS, type Kind} from './kinds.js';
import type {Effort} from './meet.js';
import type {Met} from './one.js';
import {makeProgram, type ZooProgram} from './programs.js';

const {values, positionals} = parseArgs({
  allowPositionals: true,
  options: {
    short: {type: 'boolean', default: false},
    here: {type: 'boolean', default: false},
    lab: {type: 'string', multiple: true},
    install: {type: 'boolean', default: process.env['CI'] !== undefined},
  },
});
const {short, here, install} = values;
const named = KINDS.filter(
  ({name}) => positionals.length === 0 || positionals.some((part) => name.includes(part)),
);
const kinds = short
  ? named.filter(({program}, at) => named.findIndex((each) => each.program === program) === at)
  : named;
if (kinds.length === 0) throw new Error(`there is no owner ${positionals.join(', ')}`);

const whyNotHere = values.lab === undefined ? whyMissing('kvm') : undefined;
const inLab = short ? (whyNotHere === undefined ? [] : ['6.1']) : ['5.10', '6.1', '6.12', '7.3'];
const series = values.lab ?? (here ? [] : inLab);
const places: {place: Place; kernel: string}[] = [
  ...(values.lab === undefined && whyNotHere === undefined ? [{place: 'host' as const, kernel: ''}] : []),
  ...series.map((kernel) => ({place: 'lab' as const, kernel})),
];
if (places.length === 0) throw new Error(`there is no place to run in: ${whyNotHere ?? ''}`);

/** Seconds that all owners may take in a place. */
const LIMIT = 5 * 3600;

buildOnce();
const folder = mkdtempSync(join(tmpdir(), 'kvfio-zoo-'));
const cells: Cell[] = [];
try {
  mkdirSync(join(folder, 'tmp'));
  await compilePrograms(folder, ['zoo/one.ts', 'zoo/resident.ts']);
  const missing = new Map<ZooProgram, string | undefined>();
  for (const {program} of kinds)
    if (!missing.has(program)) missing.set(program, makeProgram(folder, program));
  for (const {place, kernel} of places) {
    await using there = new Places(kernel, install);
    const effort: Effort = {
      rounds: short ? 1 : place === 'host' ? 5 : 2,
      kills: !short,
      resident: short && place === 'lab',
    };
    const runnable = kinds.filter(({program}) => missing.get(program) === undefined);
    const argv = [
      process.execPath,
      join(folder, 'one.mjs'),
      JSON.stringify(effort),
      ...runnable.map(({name}) => name),
    ];
    const ending = await there.run(
      place,
      inNamespaces(folder, argv),
      LIMIT,
      progress(there.nameOf(place), runnable.length),
    );
    const met = 'missing' in ending ? [] : readMet(ending.output);
    const failure =
      'missing' in ending ? ending.missing : `the run ended with ${ending.status}: ${rest(ending.output)}`;
    for (const kind of kinds)
      cells.push(cellOf(kind, there.nameOf(place), met, missing.get(kind.program), failure));
  }
} finally {
  rmSync(folder, {recursive: true, force: true});
}

function readMet(output: string): Met[] {
  return output
    .split('\n')
    .filter((line) => line.startsWith('{"name":'))
    .map((line) => JSON.parse(line) as Met);
}

/** A run takes an hour: says on stderr what became of each owner as it is known. */
function progress(place: string, all: number): (output: string) => void {
  let known = 0;
  return (output) => {
    // the last line may not be whole yet
    const met = readMet(output.slice(0, output.lastIndexOf('\n') + 1));
    for (const {name, ending, detail} of met.slice(known))
      console.error(`${place}, ${(known += 1)} of ${all}: ${name}: ${ending}: ${detail}`);
  };
}

function rest(output: string): string {
  return output
    .split('\n')
    .filter((line) => !line.startsWith('{"name":'))
    .join(' ')
    .slice(-500);
}

function cellOf(
  kind: Kind,
  place: string,
  met: readonly Met[],
  missing: string | undefined,
  failure: string,
): Cell {
  if (missing !== undefined) return {kind, place, ending: 'NOT RUN', detail: missing};
  const found = met.find(({name}) => name === kind.name);
  return {kind, place, ...(found ?? {ending: 'failed' as const, detail: failure})};
}

const columns = [...new Set(cells.map(({place}) => place))];
const cellIn = (name: string, place: string): Cell | undefined =>
  cells.find((cell) => cell.kind.name === name && cell.place === place);
const shown = (cell: Cell | undefined): string =>
  cell === undefined
    ? ''
    : isRight(cell) || cell.ending === 'NOT RUN'
      ? cell.ending
      : `${cell.ending} (WRONG)`;
console.log(
  plainTable([
    ['owner', ...columns, 'why'],
    ...kinds.map(({name, refused, isInterruptedByDeath}) => [
      name,
      ...columns.map((place) => shown(cellIn(name, place))),
      refused ?? (isInterruptedByDeath === true ? 'EINTR if kvfio is killed as it stops it' : ''),
    ]),
  ]),
);
const wrong = cells.filter((cell) => cell.ending !== 'NOT RUN' && !isRight(cell));
for (const {
  kind: {name},
  place,
  ending,
  detail,
} of [...wrong, ...cells.filter((cell) => cell.ending === 'NOT RUN')])
  console.log(`\n${place}, ${name}: ${ending}: ${detail}`);
const count = (ending: Cell['ending']): number => cells.filter((cell) => cell.ending === ending).length;
console.log(
  `\n${count('undisturbed')} undisturbed, ${count('refused')} refused, ${count('failed')} failed, ${count('harmed')} harmed, ${count('NOT RUN')} not run; ${wrong.length} wrong`,
);
if (wrong.length > 0 || cells.every(({ending}) => ending === 'NOT RUN')) process.exitCode = 1;
