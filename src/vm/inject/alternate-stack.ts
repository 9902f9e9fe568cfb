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
  if (end - start > MOST) return true;
  const bytes = memory.read(start, Number(end - start));
  const at = (index: number): bigint => bytes.readBigUInt64LE(index * 8);
  const high = Number(rsp >> 32n);
  // stack_t: void *ss_sp, int ss_flags, size_t ss_size
  for (let index = 0; (index + 3) * 8 <= bytes.length; index += 1) {
    // all others cannot be its lowest address: the address's upper half is quicker to compare
    const upper = bytes.readUInt32LE(index * 8 + 4);
    if (upper !== high && upper !== high - 1) continue;
    const lowest = at(index);
    const highest = lowest + at(index + 2);
    const position = start + BigInt(index * 8);
    if (lowest <= rsp && rsp < highest && position < highest) return true;
  }
  return false;
};

/** A thread that has used more has to wait for its answer too long. */
const MOST = 1024n * 1024n;
