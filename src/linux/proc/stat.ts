/** What /proc/PID/stat says of a process; everybody may read it. null where this kernel says nothing that is known. */
export interface ProcessStat {
  /** State of the process, with the letter that /proc/PID/status has. */
  state: string | null;
  kernelThread: boolean | null;
  /** Dead ones that were not waited for included. */
  threads: number | null;
}

/** Parses /proc/PID/stat (do_task_stat in fs/proc/array.c). */
export const parseProcessStat = (text: string): ProcessStat => {
  // a name may have brackets and spaces
  const fields = text.slice(text.lastIndexOf(')') + 1).match(/\S+/g) ?? [];
  const number = (index: number): number | null =>
    /^\d+$/.test(fields[index] ?? '') ? Number(fields[index]) : null;
  const flags = number(6);
  return {
    state: fields[0] ?? null,
    kernelThread: flags === null ? null : (flags & PF_KTHREAD) !== 0,
    threads: number(17),
  };
};

/** include/linux/sched.h. */
const PF_KTHREAD = 0x00200000;
