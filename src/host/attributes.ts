import {posix} from 'node:path';
import {SyscallError} from '../linux/errno.js';
import type {HostTree} from './tree.js';

/** Something that could not be read or understood; the rest of the answer holds. */
export interface Warning {
  /** The file or folder. */
  path: string;
  /** The kernel's error by name, `MALFORMED`, or `EAGAIN` for what came while the machine was read. */
  code: string;
  message: string;
}

/** What a missing file means: `optional` is an ordinary absence, `expected` is worth a warning. */
export type MissingFile = 'optional' | 'expected';

/**
 * Reads sysfs attributes of a machine and collects what went wrong.
 *
 * Every reader answers null for what could not be had, so that one device that is unplugged or unreadable while
 * it is looked at costs one warning and nothing else.
 */
export class Attributes {
  readonly tree: HostTree;
  #warnings = new Map<string, Warning>();
  /** Paths of files that are there, whatever is wrong with them. */
  readonly #failed = new Set<string>();

  constructor(tree: HostTree) {
    this.tree = tree;
  }

  /** What went wrong so far, each thing once. */
  get warnings(): Warning[] {
    return [...this.#warnings.values()];
  }

  /** Looks, and gives the warnings of that apart instead of keeping them. */
  apart<T>(look: () => T): {result: T; warnings: Warning[]} {
    const before = this.#warnings;
    const warnings = new Map<string, Warning>();
    this.#warnings = warnings;
    try {
      return {result: look(), warnings: [...warnings.values()]};
    } finally {
      this.#warnings = before;
    }
  }

  /** Keeps warnings that were given apart. */
  add(warnings: readonly Warning[]): void {
    for (const warning of warnings) this.#warn(warning);
  }

  /** A text attribute without the line end that sysfs adds. */
  text(path: string, expectation: MissingFile = 'optional'): string | null {
    return this.#answer(this.tree.text(path), path, expectation)?.trimEnd() ?? null;
  }

  /** The text of a symbolic link. */
  link(path: string, expectation: MissingFile = 'optional'): string | null {
    return this.#answer(this.tree.link(path), path, expectation);
  }

  /** The last component of a symbolic link's text: the name of a driver, a bus or an IOMMU unit. */
  linkName(path: string, expectation: MissingFile = 'optional'): string | null {
    const target = this.link(path, expectation);
    return target === null ? null : target.slice(target.lastIndexOf('/') + 1);
  }

  /** The canonical path behind a link of the folder `directory`; null even if it exists but leads out of /sys. */
  resolve(directory: string, name: string, expectation: MissingFile = 'expected'): string | null {
    const target = this.link(`${directory}/${name}`, expectation);
    if (target === null) return null;
    const path = canonical(directory, target);
    if (path.startsWith('/sys/devices/')) return path;
    this.malformed(`${directory}/${name}`, `it links to ${target}, which is not a device`);
    return null;
  }

  /** Names in a folder, null when there is no such folder. */
  names(path: string, expectation: MissingFile = 'optional'): string[] | null {
    return this.#answer(this.tree.list(path), path, expectation);
  }

  /** Whether a file was there but could not be read or understood: then null does not mean that it is absent. */
  failed(path: string): boolean {
    return this.#failed.has(path);
  }

  malformed(path: string, message: string): void {
    this.#warn({path, code: 'MALFORMED', message: `${path} is malformed: ${message}`});
  }

  /** Warns of a file that another scan may find. */
  missed(path: string, message: string): void {
    this.#warn({path, code: 'EAGAIN', message: `${path} was missed: ${message}`});
  }

  #answer<T>(answer: T | SyscallError, path: string, expectation: MissingFile): T | null {
    if (!(answer instanceof SyscallError)) return answer;
    const gone = isGone(answer);
    if (gone && expectation === 'optional') return null;
    this.#warn({
      path,
      code: answer.code,
      message: gone ? `${path} disappeared during the scan` : `${path} cannot be read: ${answer.code}`,
    });
    return null;
  }

  /** A device that cannot be read in its group is met again on its bus. */
  #warn(warning: Warning): void {
    this.#warnings.set(warning.message, warning);
    if (!isGone(warning)) this.#failed.add(warning.path);
  }
}

const isGone = ({code}: {code: string}): boolean => code === 'ENOENT' || code === 'ENODEV';

/** Resolves a link's text against the folder that holds the link, without looking at the file system. */
const canonical = (directory: string, target: string): string => {
  // as the kernel writes them: up some levels, then down to the device
  let levels = 0;
  while (target.startsWith('../', 3 * levels)) levels++;
  const rest = target.slice(3 * levels);
  if (target.startsWith('/') || /(?:^|\/)\.{0,2}(?:\/|$)/.test(rest)) return posix.resolve(directory, target);
  let end = directory.length;
  for (let level = 0; level < levels && end > 0; level++) end = directory.lastIndexOf('/', end - 1);
  // joined, for a template would keep both texts that it was put together from
  return [directory.slice(0, Math.max(end, 0)), rest].join('/');
};
