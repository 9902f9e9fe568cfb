import {mkdirSync, readFileSync, writeFileSync} from 'node:fs';
import {basename, join} from 'node:path';
import ts from 'typescript';
import {buildOnce, PROJECT} from './run.js';

/**
 * Compiles TypeScript of the tests, so that a guest, where nothing is fast, need not do it: what it imports of src/ it
 * gets of dist/.
 *
 * @param sources - below test/, the program first, then what it imports of its own folder
 * @returns the path of the program
 */
export const guestProgram = (folder: string, ...sources: [string, ...string[]]): string => {
  buildOnce();
  mkdirSync(folder, {recursive: true});
  writeFileSync(join(folder, 'package.json'), '{"type": "module"}');
  const [program] = sources.map((source) => {
    const {outputText} = ts.transpileModule(readFileSync(join(PROJECT, 'test', source), 'utf8'), {
      compilerOptions: {target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext},
    });
    const path = join(folder, `${basename(source, '.ts')}.js`);
    writeFileSync(path, outputText.replaceAll("'../../src/", `'${join(PROJECT, 'dist')}/`));
    return path;
  });
  return program ?? '';
};
