import type {Plan, Size} from '../support/place.js';
import type {PlaceEnding, Places} from '../support/places.js';
import {inNamespaces} from './in-namespaces.js';
import {emptyLine, readOutput, type Line} from './result.js';
import type {Scale} from './trial.js';

export interface Run {
  name: string;
  /** In words. */
  what: string;
  plan: Plan;
}

export interface Surroundings {
  /** Of the programs that were made; `tmp` in it is empty, and each trial gets it as a file system of its own. */
  folder: string;
  soak: number;
  seed: number;
}

/** Seconds that a trial may take beside the soak, before it counts as one that does not end. */
const LIMITS: Record<Size, number> = {small: 900, medium: 3600, large: 3600};

/** Runs one trial in namespaces of its own. */
export const runTrial = async (
  {name, what, plan}: Run,
  places: Places,
  {folder, soak, seed}: Surroundings,
): Promise<Line> => {
  const line = emptyLine(name, what);
  if ('missing' in plan) return {...line, missing: plan.missing};
  const {place, size} = plan;
  const scale: Scale = {size, soak, seed};
  const ending = await places.run(
    place,
    inNamespaces(folder, [process.execPath, `${folder}/one.mjs`, name, JSON.stringify(scale)]),
    soak + LIMITS[size],
  );
  const there = {...line, where: places.nameOf(place)};
  return 'missing' in ending ? {...there, ...ending} : lineOf(there, ending);
};

const lineOf = (line: Line, {status, output}: PlaceEnding): Line => {
  const {result, said} = readOutput(output);
  if (result === undefined && /^(setpriv|unshare|mount): /m.test(said))
    return {...line, missing: `it needs namespaces of its own: ${said.split('\n')[0] ?? ''}`};
  const full = {...line, ...result};
  return status === '0' ? full : {...full, lost: [...full.lost, `the trial ended with ${status}: ${said}`]};
};
