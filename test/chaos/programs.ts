import {copyFileSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {Arena} from '../owner/inject/victim.js';

/** The path of a program that `makePrograms` made beside the one that runs. */
export const made = (name: string): string => join(dirname(process.argv[1] ?? ''), name);

/** Where the victims of a trial live, with their program. */
export const arenaOfTrial = (): Arena => {
  const arena = new Arena();
  copyFileSync(made('victim'), join(arena.folder, 'victim'));
  return arena;
};
