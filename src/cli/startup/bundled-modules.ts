import {mkdirSync, readFileSync, renameSync, writeFileSync} from 'node:fs';
import {dirname, join, relative, resolve, sep} from 'node:path';
import {Script} from 'node:vm';
import * as zlib from 'node:zlib';

/**
 * The modules of dist/bundle, loaded with what V8 compiled of them when the package was built: to compile oclif and a
 * command anew at every start takes as long as Node itself does. Node 20 has no cache of its own for that.
 *
 * V8 compares its version, its flags and the length of the source before it takes compiled code, and compiles the source
 * where one differs, so that a package that was built with another Node runs as ever. It does not look at the rest, and
 * one wrong byte can end the process, so that before the code are checksums of the source it was compiled from and of
 * itself: a source that was edited is compiled, and so is one whose code is damaged.
 */
export class BundledModules {
  readonly #folder: string;
  readonly #native: NodeJS.Require;
  readonly #loaded = new Map<string, {exports: unknown; script: Script}>();

  /**
   * @param folder where the modules are.
   * @param native `require` of a module of that folder, for whatever is not in it.
   */
  constructor(folder: string, native: NodeJS.Require) {
    this.#folder = folder;
    this.#native = native;
  }

  /** The exports of a module, by its path in the folder. */
  load(name: string): unknown {
    return this.#load(join(this.#folder, name));
  }

  /** Paths of the loaded modules of which no compiled code was there, or none that V8 took. */
  get compiledAnew(): string[] {
    return [...this.#loaded.entries()].flatMap(([file, {script}]) =>
      script.cachedDataRejected === false ? [] : [relative(this.#folder, file)],
    );
  }

  /** Keeps the compiled code of what has been loaded, with every function that has run so far. */
  save(): void {
    for (const [file, {script}] of this.#loaded) {
      const place = this.#compiled(file);
      const code = script.createCachedData();
      const before = head(readFileSync(file), code);
      // what cannot be compared is never taken
      if (before === null) return;
      mkdirSync(dirname(place), {recursive: true});
      writeFileSync(`${place}.new`, Buffer.concat([before, code]));
      renameSync(`${place}.new`, place);
    }
  }

  #load(file: string): unknown {
    const known = this.#loaded.get(file);
    if (known !== undefined) return known.exports;
    const source = readFileSync(file);
    const script = new Script(
      `(function (exports, require, module, __filename, __dirname) {${source.toString('latin1')}})`,
      {
        filename: file,
        cachedData: this.#codeOf(file, source),
      },
    );
    const module = {exports: {}, script};
    this.#loaded.set(file, module);
    const run = script.runInThisContext() as Wrapper;
    run.call(module.exports, module.exports, this.#requireFrom(dirname(file)), module, file, dirname(file));
    return module.exports;
  }

  #requireFrom(folder: string): NodeJS.Require {
    const require = (id: string): unknown => {
      // most ask for a module of Node, and to resolve a path of each is enough work for V8 to optimise that
      if (id.startsWith('.') || id.startsWith('/')) {
        const file = resolve(folder, id);
        return file.startsWith(this.#folder + sep) ? this.#load(file) : this.#native(file);
      }
      // whoever asks for a `require` has one here
      if (id === 'node:module') return {createRequire: () => result};
      return SELDOM_USED.has(id) ? this.#later(id) : this.#native(id);
    };
    const result = Object.assign(require, this.#native);
    return result;
  }

  /** A module of Node that is loaded when something of it is used. */
  #later(id: string): unknown {
    const module = (): object => this.#native(id) as object;
    return new Proxy(
      {},
      {
        get: (_, name) => Reflect.get(module(), name) as unknown,
        has: (_, name) => Reflect.has(module(), name),
        ownKeys: () => Reflect.ownKeys(module()),
        getOwnPropertyDescriptor: (_, name) => {
          const descriptor = Reflect.getOwnPropertyDescriptor(module(), name);
          return descriptor && {...descriptor, configurable: true};
        },
      },
    );
  }

  #codeOf(file: string, source: Buffer): Buffer | undefined {
    let kept: Buffer;
    try {
      kept = readFileSync(this.#compiled(file));
    } catch {
      return undefined;
    }
    const code = kept.subarray(HEAD_LENGTH);
    return head(source, code)?.equals(kept.subarray(0, HEAD_LENGTH)) === true ? code : undefined;
  }

  #compiled(file: string): string {
    return join(this.#folder, 'compiled', `${process.version}-${process.arch}`, relative(this.#folder, file));
  }
}

/** Bytes of two checksums. A multiple of 8, which V8 wants its data aligned to. */
const HEAD_LENGTH = 8;

/** Node 22 has it from its version 22.2 on, and Node 21 not at all. */
const {crc32} = zlib as {crc32?: typeof zlib.crc32};

/** What is kept before the compiled code of a source; null where Node cannot tell. */
const head = (source: Buffer, code: Buffer): Buffer | null => {
  if (crc32 === undefined) return null;
  const bytes = Buffer.alloc(HEAD_LENGTH);
  bytes.writeUInt32LE(crc32(source), 0);
  bytes.writeUInt32LE(crc32(code), 4);
  return bytes;
};

type Wrapper = (
  this: unknown,
  exports: unknown,
  require: NodeJS.Require,
  module: unknown,
  filename: string,
  dirname: string,
) => void;

/** What oclif and others name at their top, and most commands never use. */
const SELDOM_USED: ReadonlySet<string> = new Set([
  'child_process',
  'fs/promises',
  'readline',
  'tty',
  'node:child_process',
  'node:crypto',
  'node:fs/promises',
  'node:net',
  'node:os',
  'node:perf_hooks',
  'node:readline',
  'node:timers/promises',
  'node:tty',
  'node:worker_threads',
]);
