import {copyFileSync} from 'node:fs';
import {join} from 'node:path';
import {compilePrograms} from '../support/compile-programs.js';
import {Arena} from '../owner/inject/victim.js';
import {compile} from '../vm/vmm.js';

/**
 * Makes all programs that trials start, so that a guest need not.
 *
 * @param hasCompiler - is there one for C? No trial that needs such a program runs without it
 */
export const makePrograms = async (folder: string, hasCompiler: boolean): Promise<void> => {
  await compilePrograms(folder, ['chaos/one.ts', 'chaos/bind-program.ts']);
  if (!hasCompiler) return;
  compile('example-vmm.c', join(folder, 'example-vmm'));
  using arena = new Arena();
  copyFileSync(arena.compile('victim'), join(folder, 'victim'));
};
