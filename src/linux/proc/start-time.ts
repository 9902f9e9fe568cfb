import {readFileSync} from 'node:fs';

/**
 * When a process began, in clock ticks after boot; null when it is gone.
 *
 * @param proc - where procfs is mounted
 */
export const processStart = (pid: number, proc = '/proc'): number | null => {
  try {
    return parseProcessStart(readFileSync(`${proc}/${pid}/stat`, 'utf8'));
  } catch (error) {
    if (error instanceof Error && 'code' in error) return null;
    throw error;
  }
};

/** Parses field 22 of /proc/PID/stat (proc(5)); null for text that no kernel prints. */
export const parseProcessStart = (text: string): number | null => {
  // the name in parentheses may contain anything, parentheses too, and is followed by field 3
  const word = text.slice(text.lastIndexOf(')') + 2).split(' ')[19];
  return word !== undefined && /^\d+$/.test(word) ? Number(word) : null;
};
