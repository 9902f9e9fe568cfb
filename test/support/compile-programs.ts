import {join} from 'node:path';
import {build} from 'esbuild';
import {locatedSources, OWN_URL} from './located.js';
import {PROJECT} from './run.js';

/**
 * Makes a file of each program of the tests, with all that it imports, so that it starts without tsx: a guest, where
 * nothing is fast, has neither to compile nor to look for modules.
 *
 * @param sources - below test/
 * @param folder - gets NAME.mjs for each NAME.ts, and the parts that they share
 */
export const compilePrograms = async (folder: string, sources: readonly string[]): Promise<void> => {
  await build({
    entryPoints: sources.map((source) => join(PROJECT, 'test', source)),
    outdir: folder,
    outExtension: {'.js': '.mjs'},
    entryNames: '[name]',
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    // packages that are CommonJS require what Node has
    banner: {
      js: `import {createRequire as requireOfNode} from 'node:module'; const require = requireOfNode(${OWN_URL});`,
    },
    plugins: [locatedSources],
    logLevel: 'warning',
  });
};
