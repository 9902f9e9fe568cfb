/**
 * Threads of a process that run, when they are looked at again and again.
 *
 * Such a thread may begin a call before its stop comes, and if the stop ends that early, nothing can be done. So one is watched for
 * a while, and is not stopped where it is seen to wait in such calls.
 */
export class RunningThreads {
  readonly #since = new Map<number, number>();

  /** Notes that a thread waits in a call that a stop may end early. */
  avoid(tid: number): void {
    this.#since.set(tid, Infinity);
  }

  /** Whether a thread that runs may be stopped. */
  mayStop(tid: number): boolean {
    const now = performance.now();
    const since = this.#since.get(tid) ?? now;
    this.#since.set(tid, since);
    return now - since >= WATCHED;
  }
}

/** Milliseconds. */
const WATCHED = 20;
