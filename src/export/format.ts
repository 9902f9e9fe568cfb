import type {ReadingPart, Reading} from './reading.js';

/** One of the formats that `kvfio export` writes. */
export interface Format {
  /** The program that reads the format, in a few words. */
  summary: string;
  /** Where the program that reads it looks for a file; null where its user names the file. */
  place: string | null;
  /** What it needs beside the groups. */
  parts: readonly ReadingPart[];
  /**
   * Text that each file of this format has within its first {@link MARK_WITHIN} bytes, and that nobody else writes: by it kvfio knows
   * a file as its own, which it may replace.
   */
  mark: string;
  /** What whoever wrote the file should know of what is in it and what is not, as sentences. */
  notes?: (reading: Reading) => string[];
  /** The file, in pieces. */
  pieces: (reading: Reading) => Iterable<string>;
}

/** Bytes. */
export const MARK_WITHIN = 512;
