const SIGNALS: NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP'];

/**
 * Does synchronous work that signals must not cut in two: one that has a listener waits for its end, and is forgotten
 * when the listener is gone then.
 */
export const undisturbed = <T>(work: () => T): T => {
  const ignore = (): void => undefined;
  for (const signal of SIGNALS) process.on(signal, ignore);
  try {
    return work();
  } finally {
    for (const signal of SIGNALS) process.off(signal, ignore);
  }
};
