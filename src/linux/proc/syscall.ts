/** What a thread does according to /proc/PID/task/TID/syscall. */
export type TaskSyscall =
  /** It is on a CPU, or waits for one; it may be in a system call all the same. */
  | {kind: 'running'}
  /** Blocked, but not in a system call: by a page fault, or stopped. */
  | {kind: 'blocked'}
  /** Blocked in a system call. `pc` is behind the instruction that made it. */
  | {kind: 'syscall'; number: number; args: bigint[]; sp: bigint; pc: bigint};

/**
 * Parses /proc/PID/task/TID/syscall (proc_pid_syscall in fs/proc/base.c).
 *
 * @returns null for text that no kernel prints
 */
export const parseTaskSyscall = (text: string): TaskSyscall | null => {
  const words = text.trim().split(/\s+/);
  if (words.length === 1 && words[0] === 'running') return {kind: 'running'};
  if (words.length === 3 && words[0] === '-1') return {kind: 'blocked'};
  if (words.length !== 9 || !/^\d+$/.test(words[0] ?? '')) return null;
  if (!words.slice(1).every((word) => /^0x[0-9a-f]{1,16}$/.test(word))) return null;
  const [sp, pc] = [words[7], words[8]].map((word) => BigInt(word ?? 0));
  if (sp === undefined || pc === undefined) return null;
  return {kind: 'syscall', number: Number(words[0]), args: words.slice(1, 7).map(BigInt), sp, pc};
};
