export interface Limits {
  /** Time that the work may take; absent, as long as it wants. */
  seconds: number | undefined;
  /** What to throw when the time is over. */
  expired: () => Error;
  /** Aborting it rejects with its reason. */
  signal: AbortSignal | undefined;
}

/** Settles like `work`, unless time runs out or `signal` aborts first. It does not stop the work itself. */
export const within = async <Value>(
  work: Promise<Value>,
  {seconds, expired, signal}: Limits,
): Promise<Value> => {
  signal?.throwIfAborted();
  let cancel = (): void => undefined;
  const limit = new Promise<never>((_, reject) => {
    const abort = (): void => {
      reject(signal?.reason as Error);
    };
    const timer = setTimeout(
      () => {
        reject(expired());
      },
      (seconds ?? 0) * 1000,
    );
    if (seconds === undefined) clearTimeout(timer);
    signal?.addEventListener('abort', abort);
    cancel = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
    };
  });
  try {
    return await Promise.race([work, limit]);
  } finally {
    cancel();
  }
};
