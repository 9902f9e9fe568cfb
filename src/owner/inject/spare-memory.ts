import {SyscallError, orNull} from '../../linux/errno.js';
import type {ProcessMemory} from '../../linux/memory.js';
import type {Process} from '../../linux/proc/process.js';
import type {ProcessMapping} from '../../linux/proc/maps.js';
import {withHighestStackLimit} from '../../linux/trace/stack-limit.js';

/**
 * Memory of an owner that nothing in it uses, below where the stack of its first thread may grow to.
 *
 * What is below the stack pointer of a thread belongs to kvfio nowhere else: that may be an alternate signal stack, a
 * coroutine's or a goroutine's stack, or an array in another function's frame, and what follows below is then somebody's
 * data. That it can be read, or that a guard page follows, proves nothing. This memory is free because
 *
 * - it did not exist before kvfio had the kernel add it to the `[stack]` mapping, by reading there from outside
 *   (expand_stack in mm/mmap.c or mm/vma.c), or carries the mark that kvfio leaves in it, and no thread that a killed kvfio
 *   let go may still be on its way out of it;
 * - the owner's first thread has no business there: the kernel lets it grow its stack to RLIMIT_STACK;
 * - no mmap without MAP_FIXED can take it any more.
 *
 * The kernel checks that limit when a stack grows, and this one has grown by then. A first thread that overflows its limit runs
 * on into this memory, where it would have died of SIGSEGV. So nothing is done while it is seen beyond its limit, or any
 * thread in here or right above; one that gets there later, within the moment of a call, does so by a fault of its own.
 *
 * Where a limit is missing, or is too high to go beyond, only the first thread may use it, and only while it is on that
 * very stack, above.
 */
export interface SpareMemory {
  /** First address behind it. {@link SIZEOF_SPARE} bytes belong to it. */
  end: bigint;
  /** First address behind the `[stack]` mapping. */
  endOfStack: bigint;
  /** No thread of the owner may grow a stack into it. */
  isOutOfReach: boolean;
}

/** Reasons for which an owner has no spare memory. */
export type NoSpare =
  /** There is no `[stack]` mapping as the kernel made it. */
  | 'no-stack'
  /** The first thread is beyond its limit. */
  | 'overflown'
  /** Something is mapped right below where it would be. */
  | 'no-room'
  /** The kernel did not add it, for none of the other reasons. */
  | 'not-added'
  /** kvfio may not have a stack grow so far (RLIMIT_STACK). */
  | 'own-limit'
  /** The owner's address space is limited, and this would take some of it. */
  | 'address-space'
  /** The owner's stack is locked, what it may lock is limited, and this would take some of that. */
  | 'locked-memory';

/**
 * Finds such memory, or has the kernel make it. The owner does nothing for that, and is not stopped.
 */
export const spareMemory = (owner: Process, memory: ProcessMemory): SpareMemory | NoSpare => {
  const place = placeIn(owner, memory);
  if (typeof place === 'string') return place;
  const {spare, stack} = place;
  if (place.kind === 'left') {
    // by a kvfio that was killed, and has not seen the thread go
    if (place.isMarkedAsUsed) leaveSpare(memory, spare);
    return spare;
  }
  const reason = reasonAgainstGrowing(owner, stack) ?? grow(owner, memory, place);
  if (reason !== null) return reason;
  // somebody else's mapping may have come there first
  const grown = stackOf(owner);
  if (grown?.end !== stack.end || grown.start > startOf(spare)) return 'no-room';
  leaveSpare(memory, spare);
  return spare;
};

/** Why {@link spareMemory} would find none, as far as that shows while nothing is changed; null when it would. */
export const whyNoSpare = (owner: Process, memory: ProcessMemory): NoSpare | null => {
  const place = placeIn(owner, memory);
  if (typeof place === 'string') return place;
  if (place.kind === 'left') return null;
  return (
    reasonAgainstGrowing(owner, place.stack) ??
    withHighestStackLimit((limit) => reasonForNoGrowth(owner, place, limit))
  );
};

/** Where spare memory is, or is to be. */
type Found =
  | {kind: 'left'; spare: SpareMemory; stack: ProcessMapping; isMarkedAsUsed: boolean}
  | {kind: 'to be added'; spare: SpareMemory; stack: ProcessMapping};

const placeIn = (owner: Process, memory: ProcessMemory): Found | NoSpare => {
  const stack = stackOf(owner);
  if (stack === null) return 'no-stack';
  const limit = owner.limit('stack size');
  const isOutOfReach = limit !== null && limit <= MOST_LIMIT;
  // a process that has lowered its limit, or one that shares this memory, may have grown the stack to the usual one
  const reach = isOutOfReach ? stack.end - (limit < USUAL_LIMIT ? USUAL_LIMIT : limit) : stack.start;
  const spare = (end: bigint): SpareMemory => ({end, endOfStack: stack.end, isOutOfReach});

  const first = orNull(() => owner.syscall(owner.pid));
  const isOverflown = (end: bigint): boolean =>
    first?.kind === 'syscall' && first.sp >= stack.start && first.sp < max(end + RED_ZONE, reach);

  const lowest = spare(stack.start + SIZEOF_SPARE);
  const user = lowest.end <= (isOutOfReach ? reach : stack.end) ? userOf(memory, lowest) : null;
  if (user !== null && (user === NOBODY || hasLeft(owner, lowest, user))) {
    if (isOverflown(lowest.end)) return 'overflown';
    return {kind: 'left', spare: lowest, stack, isMarkedAsUsed: user !== NOBODY};
  }
  const top = isOutOfReach ? min(reach, stack.start) : stack.start - USUAL_LIMIT;
  const end = top - (top % PAGE);
  if (isOverflown(end)) return 'overflown';
  return {kind: 'to be added', spare: spare(end), stack};
};

/** Bytes, of which the signal frame takes the upper ones; a signal handler has room in the others. */
const SIZEOF_SPARE = 128n * 1024n;

/**
 * The mark of spare memory that nobody uses, and its address. A mark is at the end of the memory: a text, by which a later kvfio
 * knows the memory again, and the number of the thread whose signal frame is in it.
 */
export const markOf = ({end}: SpareMemory): {address: bigint; bytes: Buffer} => ({
  address: end - BigInt(SIZEOF_MARK),
  bytes: markFor(NOBODY),
});

/** Notes that a thread is about to need the signal frame in spare memory. */
export const enterSpare = (memory: ProcessMemory, spare: SpareMemory, user: number): void => {
  memory.write(markOf(spare).address, markFor(user));
};

/** Notes that no thread needs it any more. */
export const leaveSpare = (memory: ProcessMemory, spare: SpareMemory): void => {
  enterSpare(memory, spare, NOBODY);
};

/** Number in place of a thread's: nobody uses the memory. */
const NOBODY = 0;

/** Number in place of a thread's that may be in a signal handler before it needs the frame: anybody may use it. */
export const WHOEVER = -1;

/** Whether a thread may have its signal frame in spare memory. @param rsp - its stack pointer */
export const mayUse = (spare: SpareMemory, isFirst: boolean, rsp: bigint): boolean =>
  spare.isOutOfReach
    ? rsp < spare.end - SIZEOF_SPARE || rsp >= spare.end + RED_ZONE
    : standsAbove(spare, isFirst, rsp);

/** Whether a thread is the first one, and on the stack that the kernel made for it. */
export const standsAbove = ({end, endOfStack}: SpareMemory, isFirst: boolean, rsp: bigint): boolean =>
  isFirst && rsp >= end + RED_ZONE && rsp < endOfStack;

const TEXT = Buffer.from('kvfio has the kernel keep this for a signal frame. \n', 'latin1');
/** Size of a mark; what lies below it so ends at a multiple of 64. */
const SIZEOF_MARK = 64;
const USER_AT = 56;

const markFor = (user: number): Buffer => {
  const mark = Buffer.alloc(SIZEOF_MARK);
  TEXT.copy(mark);
  mark.writeBigInt64LE(BigInt(user), USER_AT);
  return mark;
};

const PAGE = 4096n;
/** What every distribution sets. */
const USUAL_LIMIT = 8n * 1024n * 1024n;
/**
 * The kernel counts all that is between as address space of the owner's for good. It takes no memory, but where the stack is
 * locked and the kernel is older than 6.5 (find_extend_vma in mm/mmap.c).
 */
const MOST_LIMIT = 64n * 1024n * 1024n;
/** Bytes below its stack pointer that a function may use. */
const RED_ZONE = 128n;

const min = (a: bigint, b: bigint): bigint => (a < b ? a : b);
const max = (a: bigint, b: bigint): bigint => (a > b ? a : b);

/** The mapping that the kernel made for the first thread; null when it is not there, or not as it was made. */
const stackOf = (owner: Process): ProcessMapping | null =>
  owner.maps().find(({name, readable, writable}) => name === '[stack]' && readable && writable) ?? null;

/** The thread that may need spare memory of kvfio's making; null when it is not of that. */
const userOf = (memory: ProcessMemory, spare: SpareMemory): number | null => {
  const {address, bytes: free} = markOf(spare);
  const mark = memory.read(address, SIZEOF_MARK);
  if (!mark.subarray(0, USER_AT).equals(free.subarray(0, USER_AT))) return null;
  return Number(mark.readBigInt64LE(USER_AT));
};

/** Whether a thread that a killed kvfio let go has restored itself: it has ended, or waits in a call of its own. */
const hasLeft = (owner: Process, {end}: SpareMemory, tid: number): boolean => {
  if (tid === WHOEVER) return false;
  if (!owner.has(tid)) return true;
  const syscall = orNull(() => owner.syscall(tid));
  return syscall?.kind === 'syscall' && (syscall.sp < end - SIZEOF_SPARE || syscall.sp >= end);
};

/**
 * What the growth takes from an owner is missing there for good, and the kernel checks it against the limits of kvfio
 * (acct_stack_growth). What is locked beyond the limit is so by CAP_IPC_LOCK, and the limit means nothing to the owner.
 */
const reasonAgainstGrowing = (owner: Process, stack: ProcessMapping): NoSpare | null => {
  if (owner.limit('address space') !== null) return 'address-space';
  const most = owner.limit('locked memory');
  const locked = BigInt(owner.status().locked ?? 0);
  // locked is also what VFIO has pinned, to which no stack adds
  const isLimited = most !== null && locked > 0n && locked <= most;
  return isLimited && owner.isLocked(stack) ? 'locked-memory' : null;
};

/** Makes the kernel extend a stack down to spare memory, as any access there does. */
const grow = (owner: Process, memory: ProcessMemory, place: Found): NoSpare | null =>
  withHighestStackLimit((limit) => {
    try {
      memory.read(startOf(place.spare), 1);
      return null;
    } catch (error) {
      if (!(error instanceof SyscallError && error.code === 'EIO')) throw error;
      return reasonForNoGrowth(owner, place, limit) ?? 'not-added';
    }
  });

/**
 * Why the kernel would not extend a stack down to spare memory (expand_downwards and acct_stack_growth in mm/mmap.c or mm/vma.c), as far
 * as that shows.
 *
 * @param limit - of kvfio, for stacks
 */
const reasonForNoGrowth = (owner: Process, {spare, stack}: Found, limit: bigint): NoSpare | null => {
  const start = startOf(spare);
  if (limit < stack.end - start) return 'own-limit';
  const isInTheWay = ({start: from, end: to, readable, writable, executable}: ProcessMapping): boolean => {
    const gap = readable || writable || executable ? GUARD_GAP : 0n;
    return from < stack.start && to > start - gap;
  };
  return owner.maps().some(isInTheWay) ? 'no-room' : null;
};

const startOf = ({end}: SpareMemory): bigint => end - SIZEOF_SPARE;

/** What the kernel keeps free below a stack (stack_guard_gap), unless it was booted with another number of pages. */
const GUARD_GAP = 256n * PAGE;
