import type {SyscallError} from '../linux/errno.js';

/** Where the facts come from: this machine, another file tree, or a capture of another machine. */
export interface Origin {
  kind: 'host' | 'directory' | 'capture';
  /** The folder or file; `/` for this machine. */
  path: string;
}

/**
 * Reads `length` bytes at `offset`; fewer at the end of the file or of what the reader may see. The next read may be into the
 * same memory.
 */
export type ReadAt = (offset: number, length: number) => Buffer;

/**
 * Read access to /sys, /proc and their like on one machine.
 *
 * Paths are absolute and are those of the machine described. Every method returns the kernel's refusal as a
 * value: on a changing machine a missing file is an ordinary answer, and most callers only ask for its code.
 */
export interface HostTree {
  readonly origin: Origin;
  /** A whole file as text. Longer than `limit` bytes is refused as EFBIG; no sysfs attribute exceeds a page. */
  text(path: string, limit?: number): string | SyscallError;
  /** Lets `look` read parts of one file, which is opened once. What `look` throws is passed on. */
  inspect<T>(path: string, look: (at: ReadAt) => T): T | SyscallError;
  /** Names in a folder, in no order. */
  list(path: string): string[] | SyscallError;
  /** The text of a symbolic link. */
  link(path: string): string | SyscallError;
  /**
   * Runs `look`, which reads many files, those of one folder one after the other: that is faster inside of this. It may use no relative path, and
   * nothing else runs meanwhile.
   */
  near<T>(look: () => T): T;
}

/** What {@link HostTree.text} accepts by default, in bytes. */
export const TEXT_LIMIT = 64 * 1024;
