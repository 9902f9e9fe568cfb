/** Who is told of what kvfio reads, writes and calls, for --debug; null, at no cost, when nobody asks. */
export let callLog: CallLog | null = null;

export interface CallLog {
  /** Functions that do the same and tell of it. */
  logged<T extends object>(functions: T): T;
  /** Tells of something that another process does for this one. */
  tell(line: string): void;
}

/** Tells somebody from now on. */
export const setCallLog = (log: CallLog): void => {
  callLog = log;
};
