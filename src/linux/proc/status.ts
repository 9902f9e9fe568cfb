/** What /proc/PID/status says of a process or thread. null where this kernel has no such line. */
export interface ProcessStatus {
  /** Name as the kernel prints it: a backslash and a newline are escaped, other bytes are the process's own choice. */
  name: string;
  /** `R` running, `S` sleeping, `D` not interruptible, `T` stopped, `t` stopped by a tracer, `Z` zombie, `X` dead. */
  state: string | null;
  tgid: number | null;
  /** Process that traces this thread, 0 for none. */
  tracerPid: number | null;
  /** Effective user id. */
  uid: number | null;
  /** Real, effective, saved and file system user id. */
  uids: number[] | null;
  threads: number | null;
  /** Bytes of its memory that are resident, without huge pages of hugetlbfs (VmRSS). */
  resident: number | null;
  /** Bytes of its huge pages of hugetlbfs (HugetlbPages). */
  hugetlb: number | null;
  /** Bytes that are locked in memory, or that VFIO has pinned and counts as such (VmLck). */
  locked: number | null;
  /** Process ids from this /proc's PID namespace down to the process's own. */
  nsPids: number[] | null;
  /** Effective capabilities, capability N at bit N. */
  capEff: bigint | null;
  /** 0 none, 1 strict, 2 filters. */
  seccomp: number | null;
  seccompFilters: number | null;
  /** Features of the thread's processor state, such as `shstk` and `wrss` (Linux 6.6 and newer, with user shadow stacks built in). */
  threadFeatures: string[] | null;
}

/** Parses /proc/PID/status (proc_pid_status in fs/proc/array.c). Unknown lines are passed over. */
export const parseProcessStatus = (text: string): ProcessStatus => {
  const values = new Map<string, string>();
  for (const line of text.split('\n')) {
    const colon = line.indexOf(':');
    const key = line.slice(0, Math.max(0, colon));
    if (key !== '' && !values.has(key)) values.set(key, line.slice(colon + 1).trim());
  }
  const words = (key: string): string[] | null => values.get(key)?.split(/\s+/).filter(Boolean) ?? null;
  const number = (key: string, index = 0): number | null => decimal(words(key)?.[index]);
  return {
    name: values.get('Name') ?? '',
    state: values.get('State')?.charAt(0) ?? null,
    tgid: number('Tgid'),
    tracerPid: number('TracerPid'),
    uid: number('Uid', 1),
    uids: words('Uid')?.map(Number) ?? null,
    threads: number('Threads'),
    resident: bytes(number('VmRSS')),
    hugetlb: bytes(number('HugetlbPages')),
    locked: bytes(number('VmLck')),
    nsPids: words('NSpid')?.map(Number) ?? null,
    capEff: hexadecimal(values.get('CapEff')),
    seccomp: number('Seccomp'),
    seccompFilters: number('Seccomp_filters'),
    threadFeatures: words('x86_Thread_features'),
  };
};

/** Sizes stand there in KiB, named kB. */
const bytes = (kib: number | null): number | null => (kib === null ? null : kib * 1024);

const decimal = (text: string | undefined): number | null =>
  text !== undefined && /^\d+$/.test(text) ? Number(text) : null;

const hexadecimal = (text: string | undefined): bigint | null =>
  text !== undefined && /^[0-9a-f]+$/.test(text) ? BigInt(`0x${text}`) : null;
