import type {SyscallError} from '../../src/linux/errno.js';
import type {HostTree, Origin, ReadAt} from '../../src/host/tree.js';

/** A tree that asks before each call: `before` may change the machine, or answer with a refusal. */
export class WatchedTree implements HostTree {
  readonly origin: Origin;
  readonly #source: HostTree;
  readonly #before: (path: string) => SyscallError | undefined;

  constructor(source: HostTree, before: (path: string) => SyscallError | undefined) {
    this.#source = source;
    this.#before = before;
    this.origin = source.origin;
  }

  text(path: string, limit?: number): string | SyscallError {
    return this.#before(path) ?? this.#source.text(path, limit);
  }

  inspect<T>(path: string, look: (at: ReadAt) => T): T | SyscallError {
    return this.#before(path) ?? this.#source.inspect(path, look);
  }

  list(path: string): string[] | SyscallError {
    return this.#before(path) ?? this.#source.list(path);
  }

  link(path: string): string | SyscallError {
    return this.#before(path) ?? this.#source.link(path);
  }

  near<T>(look: () => T): T {
    return this.#source.near(look);
  }
}
