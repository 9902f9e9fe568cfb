import {fchmodSync, lstatSync, unlinkSync} from 'node:fs';
import {constants} from 'node:os';
import {setTimeout as sleep} from 'node:timers/promises';
import {Deadline} from '../deadline.js';
import {Descriptor, checked} from '../descriptor.js';
import {SyscallError} from '../errno.js';
import {accept, bindSocket, connect, getsockopt, listen, retryInterrupted, socket} from '../libc.js';
import {POLLIN, POLLOUT, ready, waitUntilReady} from '../readiness.js';
import {isAbstract, socketAddress} from './socket-address.js';
import {Message, receiveMessage, sendMessage} from './socket-message.js';

const SO_PEERCRED = 17;

/** The process at the other end when it connected or began to listen. It may be gone, and its number reused. */
export interface PeerCredentials {
  /** 0 for a process that has no number in this pid namespace. */
  pid: number;
  uid: number;
  gid: number;
}

/**
 * A connected AF_UNIX stream socket that never blocks. Addresses are paths, or abstract names as `@name`.
 *
 * Operations wait until the given deadline and then throw a {@link SyscallError} ETIMEDOUT, and the reason of the
 * signal when that is aborted. Those that end in `Now` block Node's loop meanwhile; the others do not. The socket
 * must not be closed while an operation waits.
 */
export class UnixSocket extends Descriptor {
  /**
   * @throws {@link SyscallError} that names the address; ETIMEDOUT when the listener's queue stays full
   */
  static async connect(address: string, deadline: Deadline, signal?: AbortSignal): Promise<UnixSocket> {
    for (;;) {
      try {
        return tryConnect(address);
      } catch (error) {
        // a full queue; poll(2) does not report when there is room in it
        if (!isErrno(error, 'EAGAIN')) throw error;
      }
      if (deadline.passed) throw new SyscallError('connect', constants.errno.ETIMEDOUT, address);
      await sleep(deadline.remaining(10), undefined, signal === undefined ? {} : {signal});
    }
  }

  /** SO_PEERCRED, which the kernel vouches for. */
  peer(): PeerCredentials {
    const ucred = Buffer.alloc(12);
    getsockopt(this.fd, SO_PEERCRED, ucred);
    return {pid: ucred.readInt32LE(0), uid: ucred.readUInt32LE(4), gid: ucred.readUInt32LE(8)};
  }

  /** Sends bytes, the first of them with `descriptors`. */
  async send(
    data: Buffer,
    descriptors: readonly Descriptor[],
    deadline: Deadline,
    signal?: AbortSignal,
  ): Promise<void> {
    for (let sent = this.#trySend(data, descriptors); sent < data.length;) {
      await ready(this.fd, POLLOUT, deadline, signal);
      sent += this.#trySend(data.subarray(sent), sent === 0 ? descriptors : []);
    }
  }

  /** {@link send}, blocking. */
  sendNow(data: Buffer, descriptors: readonly Descriptor[], deadline: Deadline): void {
    for (let sent = this.#trySend(data, descriptors); sent < data.length;) {
      waitUntilReady(this.fd, POLLOUT, deadline);
      sent += this.#trySend(data.subarray(sent), sent === 0 ? descriptors : []);
    }
  }

  /**
   * Receives one message of at most `size` bytes, none when the peer has closed the connection. The caller closes
   * it, and with it the descriptors that came.
   *
   * @param room - for so many descriptors; more are dropped and the message is `truncated`
   */
  async receive(size: number, room: number, deadline: Deadline, signal?: AbortSignal): Promise<Message> {
    for (;;) {
      const message = this.#tryReceive(size, room);
      if (message !== undefined) return message;
      await ready(this.fd, POLLIN, deadline, signal);
    }
  }

  /**
   * Receives `size` bytes, and fewer when the peer closes the connection, or as soon as `isWelcome` says no to a part
   * of them. `room` is for the descriptors of each part.
   */
  async receiveAll(
    size: number,
    room: number,
    deadline: Deadline,
    signal?: AbortSignal,
    isWelcome: (part: Message) => boolean = () => true,
  ): Promise<Message> {
    using parts = new Parts(size);
    while (!parts.complete) {
      const part = await this.receive(parts.missing, room, deadline, signal);
      parts.add(part);
      if (!isWelcome(part)) break;
    }
    return parts.joined();
  }

  /** {@link receiveAll}, blocking. */
  receiveAllNow(size: number, room: number, deadline: Deadline): Message {
    using parts = new Parts(size);
    while (!parts.complete) {
      const message = this.#tryReceive(parts.missing, room);
      if (message === undefined) waitUntilReady(this.fd, POLLIN, deadline);
      else parts.add(message);
    }
    return parts.joined();
  }

  #trySend(data: Buffer, descriptors: readonly Descriptor[]): number {
    return unlessItBlocks(() => sendMessage(this.fd, data, descriptors)) ?? 0;
  }

  #tryReceive(size: number, room: number): Message | undefined {
    return unlessItBlocks(() => receiveMessage(this.fd, size, room));
  }
}

/** A listening AF_UNIX stream socket. Closing it removes the file, unless another one has taken its place. */
export class UnixListener extends Descriptor {
  readonly address: string;
  #inode: bigint | undefined;

  private constructor(fd: number, address: string) {
    super(fd, address);
    this.address = address;
  }

  /**
   * Listens at an address. A socket file gets mode 0600, and replaces one that nobody listens at any more.
   *
   * @throws {@link SyscallError}; EADDRINUSE when somebody listens there, ENOTSOCK when there is another kind of file
   */
  static listen(address: string, backlog = 64): UnixListener {
    return checked(new UnixListener(socket(), address), (listener) => {
      // the file's mode is the socket's (unix_bind_bsd in net/unix/af_unix.c), so it is never wider than this
      fchmodSync(listener.fd, 0o600);
      try {
        bindSocket(listener.fd, socketAddress(address, 'bind'), address);
      } catch (error) {
        if (!isErrno(error, 'EADDRINUSE') || isAbstract(address)) throw error;
        removeDead(address);
        bindSocket(listener.fd, socketAddress(address, 'bind'), address);
      }
      if (!isAbstract(address)) listener.#inode = inodeOf(address);
      listen(listener.fd, backlog);
    });
  }

  /** Accepts one connection. Waits until there is one, or the signal is aborted. */
  async accept(signal?: AbortSignal, deadline = Deadline.never): Promise<UnixSocket> {
    for (;;) {
      const fd = unlessItBlocks(() => accept(this.fd));
      if (fd !== undefined) return new UnixSocket(fd, this.address);
      await ready(this.fd, POLLIN, deadline, signal);
    }
  }

  override [Symbol.dispose](): void {
    // the file first: while nobody listens any more, a successor could already have replaced it
    if (this.#inode !== undefined && inodeOf(this.address) === this.#inode) unlinkSync(this.address);
    this.#inode = undefined;
    super[Symbol.dispose]();
  }
}

/** Messages on their way to be one. */
class Parts implements Disposable {
  missing: number;
  #messages: Message[] = [];
  #closed = false;

  constructor(size: number) {
    this.missing = size;
  }

  get complete(): boolean {
    return this.missing === 0 || this.#closed;
  }

  add(message: Message): void {
    this.#messages.push(message);
    this.missing -= message.data.length;
    this.#closed = message.data.length === 0;
  }

  joined(): Message {
    return Message.joined(this.#messages);
  }

  [Symbol.dispose](): void {
    this.joined()[Symbol.dispose]();
  }
}

const tryConnect = (address: string): UnixSocket => {
  const to = socketAddress(address, 'connect');
  return checked(new UnixSocket(socket(), address), ({fd}) => {
    retryInterrupted(() => {
      connect(fd, to, address);
    });
  });
};

/** Removes a socket file that nobody listens at; throws what keeps it from being one. */
const removeDead = (path: string): void => {
  const inode = inodeOf(path);
  if (inode === undefined) return;
  if (!lstatSync(path).isSocket()) throw new SyscallError('bind', constants.errno.ENOTSOCK, path);
  try {
    tryConnect(path)[Symbol.dispose]();
  } catch (error) {
    if (isErrno(error, 'ECONNREFUSED') && inodeOf(path) === inode) {
      unlinkSync(path);
      return;
    }
  }
  throw new SyscallError('bind', constants.errno.EADDRINUSE, path);
};

const inodeOf = (path: string): bigint | undefined =>
  lstatSync(path, {bigint: true, throwIfNoEntry: false})?.ino;

/** The answer of a call on a non-blocking socket, undefined when it would have had to wait. */
const unlessItBlocks = <T>(call: () => T): T | undefined => {
  try {
    return retryInterrupted(call);
  } catch (error) {
    // a client that gave up while it queued does not end accepting
    if (isErrno(error, 'EAGAIN') || isErrno(error, 'ECONNABORTED')) return undefined;
    throw error;
  }
};

const isErrno = (error: unknown, code: string): boolean =>
  error instanceof SyscallError && error.code === code;
