import {SyscallError} from '../../linux/errno.js';
import type {ProcessMemory} from '../../linux/memory.js';
import type {Tracee} from '../../linux/trace/ptrace.js';
import type {Registers} from '../../linux/trace/registers.js';

/**
 * Whether a stopped thread is inside a restartable sequence (rseq(2)). The kernel aborts the sequence when the thread
 * goes on, which it can only see from rip; a thread that is made to execute something else first would go on with the
 * sequence as if nothing had happened, perhaps on another CPU.
 */
export const inRestartableSequence = (
  thread: Tracee,
  memory: ProcessMemory,
  registers: Registers,
): boolean => {
  const rseq = addressOfRseq(thread);
  if (rseq === 0n) return false;
  const sequence = memory.read(rseq + RSEQ_CS, 8).readBigUInt64LE();
  if (sequence === 0n) return false;
  // struct rseq_cs: u32 version, u32 flags, u64 start_ip, u64 post_commit_offset, u64 abort_ip
  const bounds = memory.read(sequence + 8n, 16);
  const into = registers.get('rip') - bounds.readBigUInt64LE(0);
  return into >= 0n && into < bounds.readBigUInt64LE(8);
};

/** Offset of rseq_cs in `struct rseq`. */
const RSEQ_CS = 8n;

const addressOfRseq = (thread: Tracee): bigint => {
  try {
    return thread.restartableSequences();
  } catch (error) {
    // Linux before 5.13, or one without CONFIG_RSEQ
    if (error instanceof SyscallError && (error.code === 'EIO' || error.code === 'EINVAL')) return 0n;
    throw error;
  }
};
