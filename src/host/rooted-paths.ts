import {lstatSync, readlinkSync} from 'node:fs';
import {constants} from 'node:os';
import {posix} from 'node:path';
import {SyscallError} from '../linux/errno.js';

/**
 * Paths of a file tree that lies in a folder, as its own machine would follow them: an absolute link begins at the folder,
 * and nothing leads above it (as with RESOLVE_IN_ROOT of openat2(2), of which Node knows nothing).
 *
 * A folder is looked at once, so that each file costs no call of its own. Whoever may write to the tree while it is read
 * can replace one in between.
 */
export class RootedPaths {
  readonly #root: string;
  /** What is known to be no link, or where it leads, by path. */
  readonly #known = new Map<string, string>([['', '']]);

  constructor(root: string) {
    this.#root = root;
  }

  /** Where something is, links followed but one that is the last name. */
  entry(path: string): string {
    const end = path.lastIndexOf('/');
    const name = path.slice(end + 1);
    if (name === '' || name === '.' || name === '..') return this.target(path);
    return `${this.#root}${this.#follow(path.slice(0, Math.max(0, end)), 0)}/${name}`;
  }

  /**
   * Where something is, all links followed.
   *
   * @throws {@link SyscallError} ELOOP, and whatever lstat(2) and readlink(2) refuse, as Node reports it
   */
  target(path: string): string {
    return this.#root + this.#follow(path, 0) || '/';
  }

  /** Within the tree: '' is its root. */
  #follow(path: string, links: number): string {
    const known = this.#known.get(path);
    if (known !== undefined) return known;
    const end = path.lastIndexOf('/');
    const folder = this.#follow(path.slice(0, Math.max(0, end)), links);
    const name = path.slice(end + 1);
    if (name === '' || name === '.') return folder;
    if (name === '..') return folder.slice(0, Math.max(0, folder.lastIndexOf('/')));
    const here = `${folder}/${name}`;
    const stats = lstatSync(this.#root + here, {throwIfNoEntry: false});
    if (stats?.isSymbolicLink() !== true) {
      if (stats !== undefined) this.#know(path, here);
      return here;
    }
    if (links === MOST_LINKS) throw new SyscallError('open', constants.errno.ELOOP, path);
    const text = readlinkSync(this.#root + here);
    const there = this.#follow(posix.isAbsolute(text) ? text : `${folder}/${text}`, links + 1);
    this.#know(path, there);
    return there;
  }

  /** What is near is read together, so that little is looked at twice. */
  #know(path: string, there: string): void {
    if (this.#known.size === MOST_KNOWN) {
      this.#known.clear();
      this.#known.set('', '');
    }
    this.#known.set(path, there);
  }
}

/** Folders; a large machine has hundreds of thousands. */
const MOST_KNOWN = 1000;

/** The most links that the kernel follows (MAXSYMLINKS in include/linux/namei.h). */
const MOST_LINKS = 40;
