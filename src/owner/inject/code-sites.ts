import {SyscallError} from '../../linux/errno.js';
import type {ProcessMapping} from '../../linux/proc/maps.js';

/** An instruction sequence in the owner's own code. */
export interface CodeSite {
  address: bigint;
  bytes: Buffer;
}

/** The code that kvfio makes a thread execute. It is the owner's own: kvfio adds none to a process. */
export interface CodeSites {
  /** Sets rax to 15 and makes the call: rt_sigreturn. Every C library has it, for signal handlers to return to. */
  sigreturn: CodeSite;
  /** Makes a call and returns. */
  syscall: CodeSite;
}

const SIGRETURN = [
  Buffer.from('48c7c00f0000000f05', 'hex'), // mov $15,%rax; syscall (glibc, Go)
  Buffer.from('b80f0000000f05', 'hex'), // mov $15,%eax; syscall (musl)
];
const SYSCALL = [Buffer.from('0f05c3', 'hex')]; // syscall; ret

/**
 * Finds both in the executable mappings of a process, its C library first.
 *
 * @param memory - reads bytes of the process, fewer where not all are readable
 * @returns null when one is not there
 */
export const findCodeSites = (
  mappings: readonly ProcessMapping[],
  memory: (start: bigint, size: number) => Buffer,
): CodeSites | null => {
  let sigreturn: CodeSite | null = null;
  let syscall: CodeSite | null = null;
  for (const {start, end} of candidates(mappings)) {
    for (let from = start; from < end; from += BigInt(CHUNK)) {
      const bytes = readable(memory, from, Math.min(CHUNK + OVERLAP, Number(end - from)));
      sigreturn ??= siteOf(SIGRETURN, bytes, from);
      syscall ??= siteOf(SYSCALL, bytes, from);
      if (sigreturn !== null && syscall !== null) return {sigreturn, syscall};
    }
  }
  return null;
};

/** Bytes that are searched at a time, and that the next ones begin earlier so that nothing is missed between. */
const CHUNK = 256 * 1024;
const OVERLAP = 16;

const LIBRARY = /\/(?:libc[.-]|ld-musl)[^/]*$/;

const candidates = (mappings: readonly ProcessMapping[]): ProcessMapping[] => {
  const usable = mappings.filter(({executable, name}) => executable && name !== '[vsyscall]');
  const libraries = usable.filter(({name}) => LIBRARY.test(name));
  return [...libraries, ...usable.filter((mapping) => !libraries.includes(mapping))];
};

const readable = (memory: (start: bigint, size: number) => Buffer, start: bigint, size: number): Buffer => {
  try {
    return memory(start, size);
  } catch (error) {
    if (error instanceof SyscallError && (error.code === 'EIO' || error.code === 'EFAULT'))
      return Buffer.alloc(0);
    throw error;
  }
};

const siteOf = (patterns: readonly Buffer[], bytes: Buffer, start: bigint): CodeSite | null => {
  for (const pattern of patterns) {
    const at = bytes.indexOf(pattern);
    if (at !== -1) return {address: start + BigInt(at), bytes: pattern};
  }
  return null;
};
