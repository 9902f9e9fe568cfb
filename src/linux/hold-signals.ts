/** Signals that ask a process to end, and that it may answer in its own time. */
export const ENDING_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const satisfies NodeJS.Signals[];

/** Runs work that must not be interrupted half-way: signals that ask for the process's end are forgotten until it is over. */
export const holdingSignals = async <T>(work: () => Promise<T>): Promise<T> => {
  const release = hold();
  try {
    return await work();
  } finally {
    release();
  }
};

/**
 * The same for synchronous work. A signal that has a listener waits for the end of such work anyway, and is forgotten
 * when the listener is gone then.
 */
export const holdingSignalsSync = <T>(work: () => T): T => {
  const release = hold();
  try {
    return work();
  } finally {
    release();
  }
};

/** Forgets such signals until the process ends, which is about to: it has only to report what it has done. */
export const holdSignalsToTheEnd = (): void => {
  hold();
};

const hold = (): (() => void) => {
  const ignore = (): void => undefined;
  for (const signal of ENDING_SIGNALS) process.on(signal, ignore);
  return () => {
    for (const signal of ENDING_SIGNALS) process.off(signal, ignore);
  };
};
