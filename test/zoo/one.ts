/**
 * Meets owners one after the other, and prints a line of JSON for each. `all.ts` starts this in each place.
 *
 *     node one.mjs EFFORT NAME...
 */
import {dirname} from 'node:path';
import {Arena} from '../owner/inject/victim.js';
import type {Ending} from './ending.js';
import {KINDS} from './kinds.js';
import {oneEach, Resident} from './kvfios.js';
import {meet, type Effort} from './meet.js';

/** A line of what this prints. */
export type Met = Ending & {name: string};

const [, program = '', given = '', ...names] = process.argv;
const effort = JSON.parse(given) as Effort;
const folder = dirname(program);
using resident = effort.resident ? await Resident.start(folder) : null;
for (const kind of KINDS) {
  if (!names.includes(kind.name)) continue;
  using arena = new Arena();
  const meeting = {arena, folder, kvfio: resident?.run ?? oneEach, effort};
  const met: Met = {
    name: kind.name,
    ...(await meet(meeting, kind).catch((error: unknown) => ({
      ...{ending: 'failed' as const, detail: String(error)},
    }))),
  };
  console.log(JSON.stringify(met));
}
