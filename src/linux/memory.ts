import {closeSync, openSync, readSync, writeSync} from 'node:fs';
import {SyscallError} from './errno.js';
import {addressOf, syscall} from './libc.js';

/** Bytes of kvfio's own whose address does not change, for system calls that take pointers. */
export class PinnedMemory {
  readonly bytes: Buffer;
  readonly address: bigint;

  constructor(size: number) {
    // V8 moves the bytes of small Buffers, but never those of an ArrayBuffer
    this.bytes = Buffer.from(new ArrayBuffer(size));
    this.address = addressOf(this.bytes);
  }
}

/**
 * The memory of another process, as it is when this is opened. After an execve nothing can be read or written here:
 * what is meant for one program never gets into another.
 *
 * Needs the right to trace the process. Every method throws a {@link SyscallError}; EIO when there is no such memory.
 */
export class ProcessMemory implements Disposable {
  /** Of any thread of the process. */
  readonly pid: number;
  readonly #path: string;
  readonly #fd: number;
  readonly #scratch: PinnedMemory;

  /** @param capacity - the most bytes that {@link usable} is asked about */
  constructor(pid: number, capacity: number) {
    this.pid = pid;
    this.#path = `/proc/${pid}/mem`;
    this.#scratch = new PinnedMemory(2 * SIZEOF_IOVEC + capacity);
    this.#fd = this.#call(() => openSync(this.#path, 'r+'));
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }

  read(address: bigint, size: number): Buffer {
    const bytes = Buffer.alloc(size);
    this.#whole(size, () => readSync(this.#fd, bytes, 0, size, Number(address)));
    return bytes;
  }

  /** Writes also where the process itself may not, as a debugger does: see {@link usable}. */
  write(address: bigint, bytes: Buffer): void {
    this.#whole(bytes.length, () => writeSync(this.#fd, bytes, 0, bytes.length, Number(address)));
  }

  /** Whether these bytes are there. */
  holds({address, bytes}: {address: bigint; bytes: Buffer}): boolean {
    try {
      return this.read(address, bytes.length).equals(bytes);
    } catch (error) {
      if (error instanceof SyscallError && error.code === 'EIO') return false;
      throw error;
    }
  }

  /**
   * Bytes that the process itself can read, valid until the next call; null when it cannot read all of them: a guard
   * page is not usable, nor is what is not mapped.
   */
  usable(address: bigint, size: number): Buffer | null {
    const {bytes, address: scratch} = this.#scratch;
    const into = scratch + BigInt(2 * SIZEOF_IOVEC);
    for (const [at, base] of [
      [0, into],
      [SIZEOF_IOVEC, address],
    ] as const) {
      // struct iovec: void *iov_base, size_t iov_len
      bytes.writeBigUInt64LE(base, at);
      bytes.writeBigUInt64LE(BigInt(size), at + 8);
    }
    try {
      const read = syscall('process_vm_readv', [this.pid, scratch, 1, scratch + BigInt(SIZEOF_IOVEC), 1]);
      return read === size ? bytes.subarray(2 * SIZEOF_IOVEC, 2 * SIZEOF_IOVEC + size) : null;
    } catch (error) {
      if (error instanceof SyscallError && error.code === 'EFAULT') return null;
      throw error;
    }
  }

  #whole(size: number, move: () => number): void {
    if (this.#call(move) < size) throw new SyscallError('access', EIO, this.#path);
  }

  #call<T>(call: () => T): T {
    try {
      return call();
    } catch (error) {
      const {errno, syscall: name} = error as NodeJS.ErrnoException;
      if (errno === undefined) throw error;
      throw new SyscallError(name ?? 'access', -errno, this.#path);
    }
  }
}

const SIZEOF_IOVEC = 16;
const EIO = 5;
