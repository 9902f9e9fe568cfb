import type {Reading} from './reading.js';

/** What a reading lacks, in numbers. */
export interface UnreadCounts {
  /** Files that could not be read or understood, by the error. */
  files: ReadonlyMap<string, number>;
  /** Number of these files, of all errors together. */
  fileCount: number;
  /** Processes that could not be looked into; null where none was tried. */
  hiddenProcesses: number | null;
}

export const unreadOf = ({groups, vms, holders}: Reading): UnreadCounts => {
  const files = new Map<string, number>();
  for (const {code} of groups.warnings) files.set(code, (files.get(code) ?? 0) + 1);
  return {
    files,
    fileCount: groups.warnings.length,
    hiddenProcesses:
      vms === null && holders === null ? null : Math.max(vms?.hidden ?? 0, holders?.hidden ?? 0),
  };
};
