import {close, ioctl} from './libc.js';
import type {IoctlName} from './ioctl.js';

/**
 * An open file descriptor and the duty to close it. Subclasses add the operations that are legal on theirs.
 *
 * @example
 * using kvm = Kvm.open();
 */
export class Descriptor implements Disposable {
  #fd: number | undefined;
  /** The file it was opened from, where it has a name. */
  readonly path: string | undefined;

  /** Takes over `fd`: nobody else may close it from now on. */
  constructor(fd: number, path?: string) {
    if (!Number.isInteger(fd) || fd < 0) throw new RangeError(`${fd} is not a file descriptor`);
    this.#fd = fd;
    this.path = path;
  }

  /** The number, to be handed to the kernel while this object is alive. */
  get fd(): number {
    if (this.#fd === undefined)
      throw new Error(`use of a closed descriptor${this.path === undefined ? '' : ` of ${this.path}`}`);
    return this.#fd;
  }

  protected ioctl(request: IoctlName, argument: Buffer | bigint | number = 0): number {
    return ioctl(this.fd, request, argument, this.path);
  }

  /** Closes the descriptor; the second time does nothing. */
  [Symbol.dispose](): void {
    if (this.#fd === undefined) return;
    const fd = this.#fd;
    this.#fd = undefined;
    close(fd);
  }
}

/** Passes on a newly opened descriptor if `check` accepts it, and closes it if that throws. */
export const checked = <T extends Descriptor>(descriptor: T, check: (descriptor: T) => void): T => {
  try {
    check(descriptor);
    return descriptor;
  } catch (error) {
    descriptor[Symbol.dispose]();
    throw error;
  }
};
