/** Receives what kvfio reads, writes and calls, for --debug; null, at no cost, when nobody asks. */
export let callLog: CallLog | null = null;

export interface CallLog {
  /** Functions that do the same and report it. */
  logged<T extends object>(functions: T): T;
  /** Reports something that another process does for this one. */
  tell(line: string): void;
}

/** Reports to this log from now on; null ends that. */
export const setCallLog = (log: CallLog): void => {
  callLog = log;
};
