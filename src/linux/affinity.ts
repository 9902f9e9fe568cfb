import {SyscallError} from './errno.js';
import {syscall} from './libc.js';
import {PinnedMemory} from './memory.js';

/** Bytes of a CPU mask that is large enough for every kernel (CONFIG_NR_CPUS is at most 8192). */
const MASK = 1024;

/** Numbers of the CPUs that the calling thread may run on, ascending (sched_getaffinity(2)). */
export const allowedCpus = (): number[] => {
  const mask = new PinnedMemory(MASK);
  const size = syscall('sched_getaffinity', [0, MASK, mask.address]);
  return Array.from({length: size * 8}, (_, cpu) => cpu).filter((cpu) => bitOf(mask.bytes, cpu));
};

/**
 * Binds the calling thread to these CPUs (sched_setaffinity(2)). It runs on one of them when this returns.
 *
 * @throws {@link SyscallError}; EINVAL when none of them is online and in the thread's cpuset
 */
export const runOn = (cpus: readonly number[]): void => {
  const mask = new PinnedMemory(MASK);
  for (const cpu of cpus) {
    if (!Number.isInteger(cpu) || cpu < 0 || cpu >= MASK * 8)
      throw new SyscallError('sched_setaffinity', EINVAL);
    mask.bytes[cpu >> 3] = (mask.bytes[cpu >> 3] ?? 0) | (1 << (cpu & 7));
  }
  syscall('sched_setaffinity', [0, MASK, mask.address]);
};

/** The CPU that the calling thread was on at the time (getcpu(2)). */
export const currentCpu = (): number => {
  syscall('getcpu', [answer().address, 0, 0]);
  return answer().bytes.readUInt32LE();
};

let bound: PinnedMemory | undefined;
const answer = (): PinnedMemory => (bound ??= new PinnedMemory(4));

const bitOf = (mask: Buffer, cpu: number): boolean => (((mask[cpu >> 3] ?? 0) >> (cpu & 7)) & 1) === 1;

const EINVAL = 22;
