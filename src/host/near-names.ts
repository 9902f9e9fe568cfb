import {lstatSync} from 'node:fs';
import {openHome, type Home} from '../linux/working-folder.js';

/**
 * Names of a tree's files as the kernel finds them from the working directory, which is the folder of the last one: to walk the ten
 * names of a device's folder takes the kernel as long as to read a file of it.
 *
 * The working directory is the whole process's, so {@link NearNames.leave} has to be called before anybody else may run.
 */
export class NearNames {
  readonly #home: Home;
  /** Where the tree is, without links. */
  readonly #root: string;
  /** The working directory, as a path of the tree; null where it is none of its folders. */
  #here: string | null = null;

  private constructor(home: Home, root: string) {
    this.#home = home;
    this.#root = root;
  }

  /**
   * @param root an absolute path, or '' for this machine itself.
   * @returns null where the process could not come back.
   */
  static enter(root: string): NearNames | null {
    const home = openHome();
    if (home === null) return null;
    try {
      return new NearNames(home, root === '' ? '' : realFolder(root));
    } catch {
      home.comeBack();
      home[Symbol.dispose]();
      return null;
    }
  }

  leave(): void {
    try {
      this.#home.comeBack();
    } finally {
      this.#home[Symbol.dispose]();
    }
  }

  /** Name by which a folder is opened from where the process is; null when only its whole path leads there. One that has gone would have no names by its own `.`. */
  folder(path: string): string | null {
    return this.#go(path) ? '.' : null;
  }

  /**
   * Name by which a file is opened from where the process is, none of whose folders is a link; null when only its whole path leads there.
   *
   * @returns `missing` where its folder is not there.
   */
  file(path: string): {name: string} | 'missing' | null {
    const end = path.lastIndexOf('/');
    const folder = path.slice(0, end);
    const name = path.slice(end + 1);
    if (name === '' || name === '.' || name === '..') return null;
    const here = this.#here;
    if (here === folder) return {name};
    if (here !== null) {
      const up = here.lastIndexOf('/');
      if (up === folder.length && here.startsWith(folder)) return {name: `../${name}`};
      const down = folder.lastIndexOf('/');
      if (down === here.length && folder.startsWith(here)) return this.#below(folder.slice(down + 1), name);
    }
    return this.#go(folder) ? {name} : null;
  }

  /** A file of a folder in the working directory. */
  #below(folder: string, name: string): {name: string} | 'missing' | null {
    if (folder === '' || folder === '.' || folder === '..') return null;
    if (this.#root !== '') {
      const stats = lstatSync(folder, {throwIfNoEntry: false});
      if (stats === undefined) return 'missing';
      if (!stats.isDirectory()) return null;
    }
    return {name: `${folder}/${name}`};
  }

  #go(folder: string): boolean {
    try {
      process.chdir(this.#root + folder);
    } catch {
      // it says why when it is asked for by its path
      return false;
    }
    // a link has led elsewhere; of this machine links are followed
    const isThere = this.#root === '' || process.cwd() === this.#root + folder;
    this.#here = isThere ? folder : null;
    return isThere;
  }
}

const realFolder = (root: string): string => {
  process.chdir(root);
  return process.cwd();
};
