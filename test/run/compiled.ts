import {rmSync} from 'node:fs';
import {join} from 'node:path';
import {build} from 'esbuild';
import {locatedSources} from '../support/located.js';
import {PROJECT} from '../support/run.js';

/** Where compiled tests are: below the package whose dependencies and `imports` they use. */
export const COMPILED = join(PROJECT, 'dist/test');

/**
 * Compiles the worker and files of tests into few files, so that a guest, where nothing is fast, has neither to compile nor to
 * look for modules. What their sources look for beside themselves is beside the sources still.
 */
export const compileTests = async (files: readonly string[], folder = COMPILED): Promise<void> => {
  rmSync(folder, {recursive: true, force: true});
  await build({
    absWorkingDir: PROJECT,
    entryPoints: ['test/run/worker.ts', ...files],
    outdir: folder,
    outbase: PROJECT,
    outExtension: {'.js': '.mjs'},
    bundle: true,
    splitting: true,
    packages: 'external',
    format: 'esm',
    platform: 'node',
    target: 'node20',
    sourcemap: true,
    logLevel: 'warning',
    plugins: [locatedSources],
  });
};
