import {createHash} from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import {join} from 'node:path';
import {Failure} from '../failure.js';
import {runChild} from './child.js';
import type {LabKernel} from './lab-kernel.js';
import type {Programs} from './programs.js';
import {temporaryFolder} from './scratch.js';

export interface IndexParts {
  /** Folder where an index is kept. */
  cache: string;
  programs: Programs;
  signal: AbortSignal | undefined;
  /** Gets one line about what takes long. */
  onNote: (line: string) => void;
}

/**
 * The same kernel with modules that have a `modules.dep`. Where depmod(8) has not run for them, it runs for a folder of
 * links to them below the cache, so that the user's tree stays as it is; that folder serves until a module changes.
 */
export const indexed = async (kernel: LabKernel, parts: IndexParts): Promise<LabKernel> => {
  const {release, modules} = kernel;
  if (modules === null || existsSync(join(modules, 'modules.dep'))) return kernel;
  const {cache, programs, signal, onNote} = parts;
  const series = `modules-${digest([modules])}-`;
  const tree = join(cache, `${series}${digest(stateOf(modules))}`);
  const folder = join(tree, 'lib/modules', release);
  if (!existsSync(tree)) {
    onNote(`indexing the modules of ${modules} into ${tree}`);
    const work = temporaryFolder(cache);
    try {
      const links = join(work, 'lib/modules', release);
      mkdirSync(links, {recursive: true});
      for (const entry of readdirSync(modules)) symlinkSync(join(modules, entry), join(links, entry));
      const {code, stderr} = await runChild(programs.depmod, ['-b', work, release], {signal});
      if (code !== 0 || !/\.ko/.test(readFileSync(join(links, 'modules.dep'), 'utf8')))
        throw noIndex(modules, stderr);
      for (const old of readdirSync(cache).filter((entry) => entry.startsWith(series)))
        rmSync(join(cache, old), {recursive: true, force: true});
      publish(work, tree);
    } finally {
      rmSync(work, {recursive: true, force: true});
    }
  }
  return {...kernel, modules: folder};
};

/** Moves a finished tree to its place. Another kvfio may have made the same one meanwhile; its tree is as good. */
export const publish = (made: string, tree: string): void => {
  try {
    renameSync(made, tree);
  } catch (error) {
    if (!existsSync(tree)) throw error;
  }
};

/** What changes when a file below the folder does. */
const stateOf = (folder: string): string[] =>
  (readdirSync(folder, {recursive: true}) as string[]).sort().map((path) => {
    const {size, mtimeMs} = statSync(join(folder, path), {throwIfNoEntry: false}) ?? {size: 0, mtimeMs: 0};
    return `${path} ${size} ${mtimeMs}`;
  });

const digest = (lines: string[]): string =>
  createHash('sha256').update(lines.join('\n')).digest('hex').slice(0, 16);

const noIndex = (modules: string, stderr: string): Failure =>
  new Failure({
    code: 'LAB_NO_MODULE_INDEX',
    kind: 'cannotDecide',
    what: `The modules in ${modules} cannot be indexed.`,
    why: stderr.trim() || 'depmod finds no module there in a format that it reads.',
    hint: 'Look at "kmod --version" for the compressions that it reads, and unpack modules of another one.',
  });
