import {setMaxListeners} from 'node:events';
import {setTimeout as sleep} from 'node:timers/promises';
import {Failure} from '../failure.js';
import {Deadline} from '../linux/deadline.js';
import {SyscallError} from '../linux/errno.js';
import type {Vm} from '../kvm/system.js';
import {commOf} from '../linux/proc/process.js';
import {UnixListener, type PeerCredentials, type UnixSocket} from '../linux/socket/unix-socket.js';
import {AgentServer} from '../owner/agent/server.js';
import {ADDRESS_REFUSALS, type SocketRefusals} from '../vm/socket-refusals.js';
import {trustedUsers} from '../vm/trusted-users.js';

/** Further clients wait in the listener's queue. */
const MOST_CLIENTS = 32;

/** What a VMM sends with the descriptor that has no agent: it has to be something. */
const PLAIN_GREETING = Buffer.from('\0');
/** Milliseconds for a client to take it. */
const PLAIN_PATIENCE = 5000;

/** What does not end {@link serveVm}: it goes on when a client has left. */
const EXHAUSTED = ['EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM'];

export interface ServeOptions {
  /** Answer the agent protocol; otherwise only send the descriptor. */
  agent: boolean;
  /** Ends it. */
  signal: AbortSignal;
  onWarning: (message: string) => void;
}

/**
 * Hands a VM of this process to everybody who connects and is root or this process's own user.
 *
 * @returns how many clients came, when `signal` is aborted and all of them have been left
 * @throws {@link SyscallError} when no more connections can be accepted
 */
export const serveVm = async (
  vm: Vm,
  listener: UnixListener,
  {agent, signal, onWarning}: ServeOptions,
): Promise<number> => {
  using server = new AgentServer(vm);
  const ending = new AbortController();
  const end = AbortSignal.any([signal, ending.signal]);
  setMaxListeners(0, end);
  const strangers = new Set<number>();
  const serve = async (connection: UnixSocket): Promise<void> => {
    using socket = connection;
    const peer = socket.peer();
    if (!isTrusted(peer)) {
      // a peer that connects without end is reported once
      if (!strangers.has(peer.uid)) onWarning(turnedAway(peer));
      strangers.add(peer.uid);
      return;
    }
    if (agent) await server.serve(socket, end);
    else await socket.send(PLAIN_GREETING, [vm], Deadline.after(PLAIN_PATIENCE), end);
  };

  const serving = new Set<Promise<void>>();
  let clients = 0;
  try {
    for (;;) {
      const connection = await acceptNext(listener, end, onWarning);
      clients += 1;
      const one: Promise<void> = serve(connection)
        .catch((error: unknown) => {
          // what a client does to its connection is its own affair
          if (!end.aborted && !(error instanceof SyscallError)) onWarning(String(error));
        })
        .finally(() => serving.delete(one));
      serving.add(one);
      if (serving.size >= MOST_CLIENTS) await Promise.race(serving);
    }
  } catch (error) {
    if (!signal.aborted) throw error;
    return clients;
  } finally {
    ending.abort();
    await Promise.all(serving);
  }
};

/**
 * Listens at an address for {@link serveVm}.
 *
 * @throws {@link Failure}
 */
export const listenAt = (address: string): UnixListener => {
  try {
    return UnixListener.listen(address);
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    const [kind, why, hint] = REASONS[error.code] ?? [
      'kernelRefused',
      `The kernel answered ${error.code} to ${error.syscall}.`,
      'Name another socket with --sock.',
    ];
    throw new Failure({
      code: 'NOT_LISTENING',
      kind,
      what: `Nothing can listen at ${address}.`,
      why,
      hint,
      errno: error.code,
      cause: error,
    });
  }
};

const REASONS: SocketRefusals = {
  ...ADDRESS_REFUSALS,
  EADDRINUSE: [
    'refused',
    'A process listens there already.',
    'End that process, or name another socket with --sock.',
  ],
  ENOTSOCK: [
    'refused',
    'There is a file that is not a socket.',
    'Name another socket with --sock, or remove the file.',
  ],
  ENOENT: ['notFound', 'Its folder does not exist.', 'Make the folder, or name another socket with --sock.'],
  EACCES: [
    'permission',
    'Its folder may not be written to.',
    'Name a socket in a folder of yours with --sock.',
  ],
  EROFS: ['permission', 'Its file system is read-only.', 'Name another socket with --sock.'],
};

const acceptNext = async (
  listener: UnixListener,
  signal: AbortSignal,
  onWarning: (message: string) => void,
): Promise<UnixSocket> => {
  for (;;) {
    try {
      return await listener.accept(signal);
    } catch (error) {
      if (!(error instanceof SyscallError && EXHAUSTED.includes(error.code))) throw error;
      onWarning(`A client has to wait: the kernel answered ${error.code} to ${error.syscall}.`);
      await sleep(500, undefined, {signal});
    }
  }
};

/** The mode of a socket file sees to that too, but an abstract name has none. */
const isTrusted = ({uid}: PeerCredentials): boolean => trustedUsers().has(uid);

const turnedAway = ({pid, uid}: PeerCredentials): string => {
  const comm = commOf(pid);
  const trusted = process.geteuid?.() === 0 ? 'root' : `root and user ${process.geteuid?.() ?? -1}`;
  return `turned away process ${pid}${comm === '' ? '' : ` (${comm})`}, as every other of user ${uid}: only ${trusted} may connect`;
};
