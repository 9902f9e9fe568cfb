import {Deadline} from '../linux/deadline.js';
import {SyscallError} from '../linux/errno.js';
import {Pidfd} from '../linux/proc/pidfd.js';
import {POLLIN, ready} from '../linux/readiness.js';

/** Calls `onEnd` as soon as one of the processes that it follows has ended. */
export class EndedProcesses implements Disposable {
  readonly #onEnd: () => void;
  readonly #followed = new Map<number, AbortController>();

  constructor(onEnd: () => void) {
    this.#onEnd = onEnd;
  }

  /** Follows these, and none else. One that has ended before counts as ending now. */
  follow(pids: Iterable<number>): void {
    const wanted = new Set(pids);
    for (const [pid, controller] of [...this.#followed]) {
      if (wanted.has(pid)) continue;
      this.#followed.delete(pid);
      controller.abort();
    }
    for (const pid of wanted) if (!this.#followed.has(pid)) void this.#await(pid);
  }

  [Symbol.dispose](): void {
    this.follow([]);
  }

  async #await(pid: number): Promise<void> {
    const controller = new AbortController();
    try {
      using pidfd = Pidfd.open(pid);
      this.#followed.set(pid, controller);
      await ready(pidfd.fd, POLLIN, Deadline.never, controller.signal);
    } catch (error) {
      if (controller.signal.aborted) return;
      if (!(error instanceof SyscallError)) throw error;
      // what has no descriptor to spare, or may not have one of processes, learns of the end by its next look
      if (error.code !== 'ESRCH') return;
    }
    this.#followed.delete(pid);
    this.#onEnd();
  }
}
