import {readSync, writeSync} from 'node:fs';
import {Descriptor} from './descriptor.js';
import {SyscallError} from './errno.js';
import {O_RDWR, addressOf, fastSyscall, open} from './libc.js';

/** Bytes of kvfio's own whose address does not change, for system calls that take pointers. */
export class PinnedMemory {
  readonly bytes: Buffer;
  /** The same bytes, eight at a time as far as they go, in half the time of Buffer's methods. */
  readonly words: BigUint64Array;
  readonly address: bigint;
  /** The address as a number. */
  readonly at: number;

  constructor(size: number) {
    // V8 moves the bytes of small Buffers, but never those of an ArrayBuffer
    const memory = new ArrayBuffer(size);
    this.bytes = Buffer.from(memory);
    this.words = new BigUint64Array(memory, 0, size >> 3);
    this.address = addressOf(this.bytes);
    this.at = Number(this.address);
    inUse[(next = (next + 1) % inUse.length)] = this;
  }
}

/**
 * The last ones made. Optimised code ends the life of a variable with its last use, which may be to read the address for a call:
 * without these the bytes could be freed before the call is made.
 */
const inUse = new Array<PinnedMemory | undefined>(8);
let next = 0;

/** Some bytes of a process's memory. */
export interface Place {
  address: bigint;
  size: number;
}

/**
 * The memory of another process, as it is when this is opened. After an execve nothing can be read or written here, but for
 * what {@link usable} reads of the new one: what is meant for one program never gets into another.
 *
 * Needs the right to trace the process. Every method throws a {@link SyscallError}; EIO when there is no such memory.
 */
export class ProcessMemory implements Disposable {
  /** /proc/PID/mem, for reading and writing, which only those can open who may trace the process. */
  readonly file: Descriptor;
  readonly #pid: number;
  readonly #path: string;
  readonly #scratch: PinnedMemory;

  /** @param capacity - the most bytes that {@link usable} is asked about, in at most three places */
  constructor(pid: number, capacity: number) {
    this.#pid = pid;
    this.#path = `/proc/${pid}/mem`;
    this.#scratch = new PinnedMemory(SIZEOF_IOVECS + capacity);
    this.file = new Descriptor(open(this.#path, O_RDWR), this.#path);
  }

  [Symbol.dispose](): void {
    this.file[Symbol.dispose]();
  }

  read(address: bigint, size: number): Buffer {
    const bytes = Buffer.alloc(size);
    this.#whole(size, () => readSync(this.file.fd, bytes, 0, size, Number(address)));
    return bytes;
  }

  /** Writes even where the process itself may not, as a debugger does: see {@link usable}. */
  write(address: bigint, bytes: Buffer): void {
    this.#whole(bytes.length, () => writeSync(this.file.fd, bytes, 0, bytes.length, Number(address)));
  }

  /** Whether these bytes are there, be it where the process itself may not read. */
  holds({address, bytes}: {address: bigint; bytes: Buffer}): boolean {
    try {
      return this.read(address, bytes.length).equals(bytes);
    } catch (error) {
      if (error instanceof SyscallError && error.code === 'EIO') return false;
      throw error;
    }
  }

  /**
   * Bytes at several places that the process itself can read, one behind the other and valid until the next call; fewer where
   * one of them is not usable: neither a guard page is, nor what is not mapped. All in one call, for the process may be waiting.
   */
  usable(places: readonly [Place, Place?, Place?]): Buffer {
    const {bytes, words, at} = this.#scratch;
    let size = 0;
    // struct iovec: void *iov_base, size_t iov_len
    for (let index = 0; index < places.length; index += 1) {
      const place = places[index];
      if (place === undefined) break;
      words[2 * index + 2] = place.address;
      words[2 * index + 3] = BigInt(place.size);
      size += place.size;
    }
    words[0] = BigInt(at + SIZEOF_IOVECS);
    words[1] = BigInt(size);
    try {
      const remote = [at + SIZEOF_IOVEC, places.length] as const;
      const read = fastSyscall('process_vm_readv', [this.#pid, at, 1, ...remote]);
      return bytes.subarray(SIZEOF_IOVECS, SIZEOF_IOVECS + read);
    } catch (error) {
      if (error instanceof SyscallError && error.code === 'EFAULT') return bytes.subarray(0, 0);
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
const MOST_PLACES = 3;
/** Room for the places to read from, and for the one to read to. */
const SIZEOF_IOVECS = (1 + MOST_PLACES) * SIZEOF_IOVEC;
const EIO = 5;
