import {join} from 'node:path';
import {BundledModules} from './bundled-modules.js';
import type {main as Main} from './main.js';
import {flush} from '../output/flush.js';

/**
 * Runs the installed program, from dist/bundle.
 *
 * @param root the folder of the package.
 */
export const start = async (root: string): Promise<void> => {
  const modules = bundledModules(root);
  const {main} = modules.load('cli/main.js') as {main: typeof Main};
  await main({root, commandOf: (id) => modules.load(`commands/${id}.js`)});
  // Node would take its heap apart first, page by page; a stream that failed still has to tell so
  if ((await flush(process.stdout)) && (await flush(process.stderr))) process.exit();
};

/** The modules as {@link start} loads them, for the build to compile them in advance. */
export const bundledModules = (root: string): BundledModules =>
  new BundledModules(join(root, 'dist/bundle'), require);
