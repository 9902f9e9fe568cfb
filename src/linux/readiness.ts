import {constants} from 'node:os';
import {writeSync} from 'node:fs';
import type {Deadline} from './deadline.js';
import {Descriptor} from './descriptor.js';
import {SyscallError} from './errno.js';
import {eventfd, poll, pollInBackground, retryInterrupted} from './libc.js';

/** What {@link ready} waits for; errors and hang-ups always count as ready too. */
export const POLLIN = 1;
export const POLLOUT = 4;

const SIZEOF_POLLFD = 8;

/** A background poll(2) delays the end of the process until it returns, should its wake-up get lost. */
const LONGEST_POLL = 1000;

/**
 * Waits without blocking Node's loop until a descriptor is ready. It must stay open until then.
 *
 * node:net cannot do this: it reads from every descriptor that it watches, and drops descriptors that come with
 * the data. So one thread of libuv's pool, however many are waiting, is in poll(2) for all of them.
 *
 * @throws {@link SyscallError} ETIMEDOUT at the deadline; the reason of `signal` when it is aborted
 */
export const ready = async (
  fd: number,
  events: number,
  deadline: Deadline,
  signal?: AbortSignal,
): Promise<void> => {
  signal?.throwIfAborted();
  const {promise, resolve, reject} = withResolvers();
  const wait = {fd, events, deadline, resolve, reject};
  const abort = (): void => {
    reject(signal?.reason);
    waits.delete(wait);
    wake();
  };
  waits.add(wait);
  signal?.addEventListener('abort', abort, {once: true});
  if (wakeUp === undefined) void pollForAll();
  else wake();
  try {
    await promise;
  } finally {
    signal?.removeEventListener('abort', abort);
  }
};

/**
 * Blocks until a descriptor is ready.
 *
 * @throws {@link SyscallError} ETIMEDOUT at the deadline
 */
export const waitUntilReady = (fd: number, events: number, deadline: Deadline): void => {
  const fds = pollfds([{fd, events}]);
  while (retryInterrupted(() => poll(fds, deadline.remaining(LONGEST_POLL))) === 0) {
    if (deadline.passed) throw timedOut();
  }
};

interface Wait {
  fd: number;
  events: number;
  deadline: Deadline;
  resolve: () => void;
  reject: (reason: unknown) => void;
}

const waits = new Set<Wait>();

/** Exists while the background thread polls; a write to it makes the poll return. */
let wakeUp: Descriptor | undefined;

const wake = (): void => {
  if (wakeUp !== undefined) writeSync(wakeUp.fd, ONE);
};

const ONE = Buffer.from(new BigUint64Array([1n]).buffer);

const pollForAll = async (): Promise<void> => {
  try {
    while (waits.size > 0) {
      // a new one each time needs no reading back; the loop closes it before anybody could write to it again
      using event = new Descriptor(eventfd());
      wakeUp = event;
      process.once('exit', wake);
      const polled = [...waits];
      const fds = pollfds([{fd: event.fd, events: POLLIN}, ...polled]);
      const longest = polled.reduce((time, {deadline}) => deadline.remaining(time), LONGEST_POLL);
      try {
        await retryInterruptedLater(() => pollInBackground(fds, longest));
      } finally {
        process.off('exit', wake);
      }
      for (const [index, wait] of polled.entries()) {
        if (fds.readInt16LE((index + 1) * SIZEOF_POLLFD + 6) !== 0) wait.resolve();
        else if (wait.deadline.passed) wait.reject(timedOut());
        else continue;
        waits.delete(wait);
      }
    }
  } catch (error) {
    for (const wait of waits) wait.reject(error);
    waits.clear();
  } finally {
    wakeUp = undefined;
  }
};

const retryInterruptedLater = async (call: () => Promise<number>): Promise<number> => {
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof SyscallError && error.code === 'EINTR')) throw error;
    }
  }
};

const pollfds = (entries: readonly {fd: number; events: number}[]): Buffer => {
  const bytes = Buffer.from(new ArrayBuffer(entries.length * SIZEOF_POLLFD));
  for (const [index, {fd, events}] of entries.entries()) {
    bytes.writeInt32LE(fd, index * SIZEOF_POLLFD);
    bytes.writeInt16LE(events, index * SIZEOF_POLLFD + 4);
  }
  return bytes;
};

const timedOut = (): SyscallError => new SyscallError('poll', constants.errno.ETIMEDOUT);

const withResolvers = (): {
  promise: Promise<void>;
  resolve: () => void;
  reject: (reason: unknown) => void;
} => {
  let resolve: () => void = () => undefined;
  let reject: (reason: unknown) => void = () => undefined;
  const promise = new Promise<void>((accept, refuse) => {
    resolve = accept;
    reject = refuse;
  });
  return {promise, resolve, reject};
};
