import {readFileSync, rmSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {pathToFileURL} from 'node:url';
import {build} from 'esbuild';
import {PROJECT} from '../support/run.js';

/** Where compiled tests are: below the package whose dependencies and `imports` they use. */
export const COMPILED = join(PROJECT, 'dist/test');

/**
 * Compiles the worker and files of tests into few files, so that a guest, where nothing is fast, has neither to compile nor to
 * look for modules. What their sources look for beside themselves is beside the sources still.
 */
export const compileTests = async (files: readonly string[]): Promise<void> => {
  rmSync(COMPILED, {recursive: true, force: true});
  await build({
    absWorkingDir: PROJECT,
    entryPoints: ['test/run/worker.ts', ...files],
    outdir: COMPILED,
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
    plugins: [
      {
        name: 'where-the-sources-are',
        setup: (compiler) => {
          compiler.onLoad({filter: /\/(?:src|test)\/.*\.ts$/}, ({path}) => ({
            contents: located(path),
            loader: 'ts',
          }));
        },
      },
    ],
  });
};

const located = (path: string): string =>
  readFileSync(path, 'utf8')
    .replaceAll('import.meta.url', JSON.stringify(pathToFileURL(path).href))
    .replaceAll('import.meta.dirname', JSON.stringify(dirname(path)));
