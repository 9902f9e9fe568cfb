const SIGNALS: NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP'];

/** Does work that must not be cut in two: signals that ask for the process's end are forgotten until it is over. */
export const holdingSignals = async <T>(work: () => Promise<T>): Promise<T> => {
  const ignore = (): void => undefined;
  for (const signal of SIGNALS) process.on(signal, ignore);
  try {
    return await work();
  } finally {
    for (const signal of SIGNALS) process.off(signal, ignore);
  }
};
