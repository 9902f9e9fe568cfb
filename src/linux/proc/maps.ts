/** A mapping of a process's memory. */
export interface ProcessMapping {
  start: bigint;
  /** First address behind it. */
  end: bigint;
  readable: boolean;
  writable: boolean;
  executable: boolean;
  /** File, or a name such as `[stack]` and `[vdso]`; empty for anonymous memory. As the kernel prints it, escapes included. */
  name: string;
}

/** Parses /proc/PID/maps (show_map_vma in fs/proc/task_mmu.c). Lines of another form are passed over. */
export const parseProcessMaps = (text: string): ProcessMapping[] => text.split('\n').flatMap(mapping);

const LINE = /^([0-9a-f]+)-([0-9a-f]+) ([r-])([w-])([x-])[ps] [0-9a-f]+ [0-9a-f]+:[0-9a-f]+ \d+ *(.*)$/;

const mapping = (line: string): ProcessMapping[] => {
  const [, start, end, read, write, execute, name] = LINE.exec(line) ?? [];
  if (start === undefined || end === undefined || name === undefined) return [];
  return [
    {
      start: BigInt(`0x${start}`),
      end: BigInt(`0x${end}`),
      readable: read === 'r',
      writable: write === 'w',
      executable: execute === 'x',
      name,
    },
  ];
};
