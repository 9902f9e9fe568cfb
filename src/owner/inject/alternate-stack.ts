import type {ProcessMemory} from '../../linux/memory.js';

/**
 * Whether a thread may be on an alternate signal stack that lies within the stack it is on, such as an array of a function
 * that is being executed. While it is, the signal frame that the kernel wrote at the top of that stack is above the stack
 * pointer, and describes the stack (`uc_stack`, by save_altstack_ex in include/linux/signal.h).
 *
 * @param rsp - the thread's stack pointer
 * @param end - first address behind the stack that it is on
 */
export const mayBeOnAlternateStack = (memory: ProcessMemory, rsp: bigint, end: bigint): boolean => {
  const start = rsp - (rsp % 8n);
  if (end - start > MAX_USED_BYTES) return true;
  const bytes = memory.read(start, Number(end - start));
  // such a stack begins no lower than where this one could, which may be on the other side of a multiple of 4 GiB
  return [...new Set([(end - MOST_STACK) >> 32n, rsp >> 32n])].some((upper) =>
    isDescribed(bytes, Number(upper), {start, rsp, end}),
  );
};

/** @param upper - the upper half of the address of the stack: a search for that is quick even when it runs for the first time */
const isDescribed = (
  bytes: Buffer,
  upper: number,
  {start, rsp, end}: {start: bigint; rsp: bigint; end: bigint},
): boolean => {
  const half = Buffer.alloc(4);
  half.writeUInt32LE(upper);
  for (let found = -1; (found = bytes.indexOf(half, found + 1)) !== -1;) {
    // stack_t: void *ss_sp, int ss_flags, size_t ss_size
    const at = found - 4;
    if (at < 0 || at % 8 !== 0 || at + 24 > bytes.length) continue;
    const lowest = bytes.readBigUInt64LE(at);
    if (lowest > rsp) continue;
    const highest = lowest + bytes.readBigUInt64LE(at + 16);
    if (rsp < highest && highest <= end && start + BigInt(at) < highest) return true;
  }
  return false;
};

/** A thread that has used more has to wait for its answer too long. */
const MAX_USED_BYTES = 1024n * 1024n;
/** Bytes; more than a stack has whose owner gets spare memory out of its reach. */
const MOST_STACK = 64n * 1024n * 1024n;
