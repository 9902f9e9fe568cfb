import {constants as os} from 'node:os';
import {SyscallError} from '../linux/errno.js';
import {TEXT_LIMIT, type HostTree, type Origin, type ReadAt} from './tree.js';

/**
 * What one run of kvfio read of one machine, as one JSON document.
 *
 * Every answer that the machine gave is there, refusals included, so that a replay says what the original said.
 * Text is kept as text, so that a capture can be read and edited by hand.
 */
export interface Capture {
  /** Version of this format. */
  kvfioCapture: 1;
  /** Version of the kvfio that took it. */
  kvfio: string;
  /** Whether it was taken by root, who sees PCI configuration space beyond its first 64 bytes. */
  root: boolean;
  texts: Record<string, string>;
  /** Parts of binary files: offset (decimal) -> bytes in hexadecimal. */
  parts: Record<string, Record<string, string>>;
  links: Record<string, string>;
  directories: Record<string, string[]>;
  /** Refusals: path -> error number. */
  refusals: Record<string, number>;
}

export const emptyCapture = (kvfio: string, root: boolean): Capture => ({
  kvfioCapture: 1,
  kvfio,
  root,
  texts: {},
  parts: {},
  links: {},
  directories: {},
  refusals: {},
});

/** Replays a capture. What was not captured does not exist. */
export class CaptureTree implements HostTree {
  readonly origin: Origin;
  readonly #capture: Capture;

  constructor(capture: Capture, path: string) {
    this.#capture = capture;
    this.origin = {kind: 'capture', path};
  }

  text(path: string, limit = TEXT_LIMIT): string | SyscallError {
    const text = own(this.#capture.texts, path);
    if (text === undefined) return this.#refusal('open', path);
    return text.length > limit ? new SyscallError('read', os.errno.EFBIG, path) : text;
  }

  inspect<T>(path: string, look: (at: ReadAt) => T): T | SyscallError {
    const parts = own(this.#capture.parts, path);
    if (parts === undefined) return this.#refusal('open', path);
    return look((offset, length) => Buffer.from(own(parts, String(offset)) ?? '', 'hex').subarray(0, length));
  }

  list(path: string): string[] | SyscallError {
    return own(this.#capture.directories, path) ?? this.#refusal('readdir', path);
  }

  link(path: string): string | SyscallError {
    return own(this.#capture.links, path) ?? this.#refusal('readlink', path);
  }

  near<T>(look: () => T): T {
    return look();
  }

  /** Whether the capture says anything of a path, be it that there is no such file. */
  knows(path: string): boolean {
    const {texts, parts, links, directories, refusals} = this.#capture;
    return [texts, parts, links, directories, refusals].some((shelf) => Object.hasOwn(shelf, path));
  }

  #refusal(syscall: string, path: string): SyscallError {
    return new SyscallError(syscall, own(this.#capture.refusals, path) ?? os.errno.ENOENT, path);
  }
}

/** Reads from another tree and writes down every answer. */
export class RecordingTree implements HostTree {
  readonly origin: Origin;
  readonly capture: Capture;
  readonly #source: HostTree;

  constructor(source: HostTree, capture: Capture) {
    this.#source = source;
    this.capture = capture;
    this.origin = source.origin;
  }

  text(path: string, limit?: number): string | SyscallError {
    return this.#record(this.capture.texts, path, this.#source.text(path, limit));
  }

  inspect<T>(path: string, look: (at: ReadAt) => T): T | SyscallError {
    const result = this.#source.inspect(path, (at) => {
      // opened, so that a replay does not take it for missing even when nothing could be read
      const parts = (this.capture.parts[path] ??= {});
      return look((offset, length) => {
        const bytes = at(offset, length);
        const hex = bytes.toString('hex');
        // the same place may be looked at twice, for more or for fewer bytes
        if (hex.length >= (parts[String(offset)] ?? '').length) parts[String(offset)] = hex;
        return bytes;
      });
    });
    if (result instanceof SyscallError) this.#refuse(this.capture.parts, path, result);
    return result;
  }

  list(path: string): string[] | SyscallError {
    return this.#record(this.capture.directories, path, this.#source.list(path));
  }

  link(path: string): string | SyscallError {
    return this.#record(this.capture.links, path, this.#source.link(path));
  }

  near<T>(look: () => T): T {
    return this.#source.near(look);
  }

  #record<T>(shelf: Record<string, T>, path: string, answer: T | SyscallError): T | SyscallError {
    if (answer instanceof SyscallError) this.#refuse(shelf, path, answer);
    else shelf[path] = answer;
    return answer;
  }

  /** What went away while it was looked at is missing from the start in a replay. */
  #refuse<T>(shelf: Record<string, T>, path: string, {errno}: SyscallError): void {
    // eslint-disable-next-line @typescript-eslint/no-dynamic-delete -- the keys are paths
    delete shelf[path];
    // that a capture says nothing of a file does not mean that there is none
    if (this.#source instanceof CaptureTree && !this.#source.knows(path)) return;
    this.capture.refusals[path] = errno;
  }
}

/** Keys come from a file: `constructor` and its like must not be found on the prototype. */
const own = <T>(shelf: Record<string, T>, key: string): T | undefined =>
  Object.hasOwn(shelf, key) ? shelf[key] : undefined;
