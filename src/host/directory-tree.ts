import {closeSync, constants, lstatSync, openSync, readdirSync, readlinkSync, readSync} from 'node:fs';
import {constants as os} from 'node:os';
import {isAbsolute} from 'node:path';
import {callLog} from '../linux/call-log.js';
import {SyscallError} from '../linux/errno.js';
import {TEXT_LIMIT, type HostTree, type Origin, type ReadAt} from './tree.js';
import {NearNames} from './near-names.js';
import {RootedPaths} from './rooted-paths.js';

// A tree from elsewhere may hold pipes and terminals: opening one must neither block nor take it over.
const OPEN = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;
// No attribute of sysfs is a link, and where a link of a tree leads is found out before.
const OPEN_ATTRIBUTE = OPEN | constants.O_NOFOLLOW;

/** A machine's files as they lie under a folder, which no link in it leads out of; `''` for this machine itself. */
export class DirectoryTree implements HostTree {
  readonly origin: Origin;
  /** The folder, `''` for this machine. */
  readonly root: string;
  /** null for this machine, where the kernel follows links. */
  readonly #paths: RootedPaths | null;
  #buffer = Buffer.allocUnsafe(TEXT_LIMIT + 1);
  // of its own: who looks at one file may read another as text meanwhile
  #part = Buffer.allocUnsafe(4096);
  /** The folder that the process is in while many files are read that lie near to each other; else null. */
  #near: NearNames | null = null;
  /** Names of files of which the last that was asked for was missing. */
  readonly #missing = new Set<string>();

  constructor(root = '') {
    this.root = root;
    this.#paths = root === '' ? null : new RootedPaths(root);
    this.origin = root === '' ? {kind: 'host', path: '/'} : {kind: 'directory', path: root};
  }

  text(path: string, limit = TEXT_LIMIT): string | SyscallError {
    if (this.#buffer.length <= limit) this.#buffer = Buffer.allocUnsafe(limit + 1);
    const buffer = this.#buffer;
    return this.#reading(path, (fd) => {
      for (let length = 0; ;) {
        const read = readSync(fd, buffer, length, limit + 1 - length, null);
        length += read;
        if (length > limit) return new SyscallError('read', os.errno.EFBIG, path);
        // A sysfs attribute is complete after one read that stays below a page; others say so by an empty one.
        if (read === 0 || (length < 4096 && isAttribute(path))) return buffer.toString('utf8', 0, length);
      }
    });
  }

  inspect<T>(path: string, look: (at: ReadAt) => T): T | SyscallError {
    return this.#reading(path, (fd) =>
      look((offset, length) => {
        const bytes = length <= this.#part.length ? this.#part : Buffer.allocUnsafe(length);
        return bytes.subarray(0, readSync(fd, bytes, 0, length, offset));
      }),
    );
  }

  list(path: string): string[] | SyscallError {
    return answer('readdir', path, () => readdirSync(this.#folder(path)));
  }

  link(path: string): string | SyscallError {
    const missing = this.#isMissing('readlink', path);
    if (missing !== null) return missing;
    const target = answer('readlink', path, () => readlinkSync(this.#entry(path)));
    this.#note(path, target);
    return target;
  }

  near<T>(look: () => T): T {
    // lines of the log are about whole paths, and a relative root is one of the working directory
    const mayMove = this.#near === null && callLog === null && (this.root === '' || isAbsolute(this.root));
    const near = mayMove ? NearNames.enter(this.root) : null;
    if (near === null) return look();
    this.#near = near;
    try {
      return look();
    } finally {
      this.#near = null;
      near.leave();
    }
  }

  #folder(path: string): string {
    const near = isAttribute(path) ? this.#near?.folder(path) : null;
    return near ?? (this.#paths === null ? path : this.#paths.target(path));
  }

  /** @throws {@link SyscallError} */
  #entry(path: string): string {
    const place = this.#place(path);
    if (place === null) throw ordinary('open', path);
    return place;
  }

  /** Null for what is missing for certain. */
  #place(path: string): string | null {
    const near = isAttribute(path) ? (this.#near?.file(path) ?? null) : null;
    if (near === null) return this.#paths === null ? path : this.#paths.entry(path);
    return near === 'missing' ? null : near.name;
  }

  /**
   * The refusal of a file that is not there, when none of its name was there the last time: then most have none, and to ask whether
   * there is one costs half of what a refused call does. Null when it has to be tried.
   */
  #isMissing(syscall: string, path: string): SyscallError | null {
    const name = nameOf(path);
    if (!this.#missing.has(name)) return null;
    const found = answer(syscall, path, () => {
      const place = this.#place(path);
      return place === null ? undefined : lstatSync(place, MAY_BE_MISSING);
    });
    if (found instanceof SyscallError) return found;
    if (found === undefined) return ordinary(syscall, path);
    this.#missing.delete(name);
    return null;
  }

  #note(path: string, outcome: unknown): void {
    if (outcome instanceof SyscallError && outcome.errno === os.errno.ENOENT) this.#missing.add(nameOf(path));
  }

  #open(path: string): number {
    if (isAttribute(path)) return openSync(this.#entry(path), OPEN_ATTRIBUTE);
    return this.#paths === null ? openSync(path, OPEN) : openSync(this.#paths.target(path), OPEN_ATTRIBUTE);
  }

  #reading<T>(path: string, read: (fd: number) => T): T | SyscallError {
    const missing = this.#isMissing('open', path);
    if (missing !== null) return missing;
    const fd = answer('open', path, () => this.#open(path));
    this.#note(path, fd);
    if (typeof fd !== 'number') return fd;
    try {
      return read(fd);
    } catch (error) {
      const known = refusal('read', path, error);
      if (known !== null) return known;
      throw error;
    } finally {
      closeSync(fd);
    }
  }
}

/** An error without a stack trace, which Node would have to collect: a missing name is an ordinary answer. */
const ordinary = (syscall: string, path: string): SyscallError => {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 0;
  const missing = new SyscallError(syscall, os.errno.ENOENT, path);
  Error.stackTraceLimit = limit;
  return missing;
};

const MAY_BE_MISSING = {throwIfNoEntry: false} as const;

const nameOf = (path: string): string => path.slice(path.lastIndexOf('/') + 1);

const isAttribute = (path: string): boolean => path.startsWith('/sys/');

/** Makes a call without a stack trace for its error: a missing name is an ordinary answer, and the trace takes longer than the call. */
const answer = <T>(syscall: string, path: string, call: () => T): T | SyscallError => {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 0;
  let error: unknown;
  try {
    return call();
  } catch (thrown) {
    error = thrown;
  } finally {
    Error.stackTraceLimit = limit;
  }
  const known = refusal(syscall, path, error);
  if (known !== null) return known;
  // it was made without
  if (error instanceof Error) Error.captureStackTrace(error, answer);
  throw error;
};

/** The kernel's refusal as a value; null for anything else, which is to be thrown on. */
const refusal = (syscall: string, path: string, error: unknown): SyscallError | null => {
  if (error instanceof SyscallError) return new SyscallError(syscall, error.errno, path);
  if (error instanceof Error && 'errno' in error && typeof error.errno === 'number') {
    return new SyscallError(syscall, -error.errno, path);
  }
  // a path with a NUL byte, from a link text in a damaged tree
  if (error instanceof Error && 'code' in error && error.code === 'ERR_INVALID_ARG_VALUE') {
    return new SyscallError(syscall, os.errno.EINVAL, path);
  }
  return null;
};
