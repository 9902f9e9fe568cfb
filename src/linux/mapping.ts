import type {Descriptor} from './descriptor.js';
import {copyFrom, syscall} from './libc.js';

const PROT_READ = 1;
const MAP_SHARED = 1;

/** Bytes that a descriptor shares with the kernel (mmap(2)), to be read. */
export class Mapping implements Disposable {
  readonly #size: number;
  #address: number | undefined;

  /** @throws {@link SyscallError} */
  constructor(file: Descriptor, size: number) {
    this.#size = size;
    this.#address = syscall('mmap', [0, size, PROT_READ, MAP_SHARED, file.fd, 0]);
  }

  /** What the bytes from `offset` are now. */
  read(offset: number, into: Buffer): void {
    if (this.#address === undefined || offset < 0 || offset + into.length > this.#size)
      throw new RangeError('read outside of a mapping');
    copyFrom(BigInt(this.#address + offset), into);
  }

  [Symbol.dispose](): void {
    if (this.#address === undefined) return;
    syscall('munmap', [this.#address, this.#size]);
    this.#address = undefined;
  }
}
