import {basename, join} from 'node:path';
import {pathToFileURL} from 'node:url';
import {buildSync} from 'esbuild';
import {PROJECT} from './run.js';

/**
 * Makes one file of a program of the tests and all that it imports, so that a guest, where nothing is fast, has neither
 * to compile nor to look for modules.
 *
 * @param source - below test/
 * @returns the name of the file in `folder`
 */
export const guestProgram = (folder: string, source: string): string => {
  const entry = join(PROJECT, 'test', source);
  const name = `${basename(source, '.ts')}.mjs`;
  buildSync({
    entryPoints: [entry],
    outfile: join(folder, name),
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    // what is native is looked for from where the source is
    define: {'import.meta.url': JSON.stringify(pathToFileURL(entry).href)},
    logLevel: 'warning',
  });
  return name;
};
