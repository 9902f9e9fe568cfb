import type {Descriptor} from '../../linux/descriptor.js';
import {SyscallError} from '../../linux/errno.js';
import {sameFile} from '../../linux/proc/kcmp.js';
import {syscall} from '../../linux/libc.js';
import {PinnedMemory} from '../../linux/memory.js';
import type {Pidfd} from '../../linux/proc/pidfd.js';
import type {Process} from '../../linux/proc/process.js';
import {processStart} from '../../linux/proc/start-time.js';
import type {StoppedThread} from './stopped-thread.js';

/**
 * Gives a stopped owner descriptors of kvfio's. The owner needs no rights over kvfio.
 *
 * The owner makes a datagram socket, of which kvfio takes a descriptor, names it, and sends a message through it to
 * itself; the owner receives that, and closes the socket. When kvfio dies on the way, the owner keeps that one socket,
 * closed on exec, and {@link leftBehind} finds it by its name; only between two requests it has none yet.
 */
export class HandOver {
  readonly #pidfd: Pidfd;
  readonly #memory = new PinnedMemory(SIZEOF_OUTGOING);
  readonly #start = processStart(process.pid) ?? 0;
  #count = 0;

  constructor(pidfd: Pidfd) {
    this.#pidfd = pidfd;
  }

  /** @returns the descriptor's number in the owner */
  give(thread: StoppedThread, {fd}: Descriptor): number {
    const socket = thread.call({
      name: 'socket',
      args: () => [AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0],
    });
    try {
      this.#send(socket, fd);
      const received = receive(thread, socket);
      // its name is public, so somebody else's message may have come first
      if (sameFile(process.pid, fd, this.#pidfd.pid, received)) return received;
      closeInOwner(thread, received);
      throw new SyscallError('recvmsg', EBADMSG);
    } finally {
      closeInOwner(thread, socket);
    }
  }

  #send(socket: number, fd: number): void {
    using own = this.#pidfd.getfd(socket);
    const {bytes, address} = this.#memory;
    const name = `${NAME}${process.pid}-${this.#start}-${process.hrtime.bigint()}-${(this.#count += 1)}`;
    bytes.fill(0);
    bytes.writeUInt16LE(AF_UNIX, ADDRESS_AT);
    bytes.write(name, ADDRESS_AT + 3, 'latin1'); // behind a NUL: a name in the abstract namespace
    const length = 3 + name.length;
    syscall('bind', [own.fd, address + BigInt(ADDRESS_AT), length]);
    layOut(bytes, address);
    bytes.writeBigUInt64LE(address + BigInt(ADDRESS_AT), 0);
    bytes.writeUInt32LE(length, 8);
    bytes.writeBigUInt64LE(BigInt(SIZEOF_CMSGHDR + 4), CONTROL_AT);
    bytes.writeInt32LE(SOL_SOCKET, CONTROL_AT + 8);
    bytes.writeInt32LE(SCM_RIGHTS, CONTROL_AT + 12);
    bytes.writeInt32LE(fd, CONTROL_AT + SIZEOF_CMSGHDR);
    syscall('sendmsg', [own.fd, address, MSG_DONTWAIT]);
  }
}

/**
 * Sockets that a kvfio which was killed in a hand-over left in a process: their numbers there, and what those link to.
 */
export const leftBehind = (owner: Process): [fd: number, link: string][] => {
  const inodes = deadHandOvers(owner.unixSockets(), (pid) => processStart(pid));
  if (inodes.length === 0) return [];
  const links = new Set(inodes.map((inode) => `socket:[${inode}]`));
  return [...owner.descriptors()].filter(([, link]) => links.has(link));
};

/**
 * Inodes of the sockets in the text of /proc/net/unix that were named by processes that have ended.
 *
 * @param startOf - when the process with a number began; null when there is none
 */
export const deadHandOvers = (text: string, startOf: (pid: number) => number | null): string[] =>
  [...text.matchAll(/ (\d+) @kvfio-hand-over-(\d+)-(\d+)-\d+-\d+$/gm)]
    .filter(([, , pid, start]) => startOf(Number(pid)) !== Number(start))
    .map(([, inode]) => inode ?? '');

/** Makes the owner close a descriptor. It is gone afterwards, even if the call was interrupted. */
export const closeInOwner = (thread: StoppedThread, fd: number): void => {
  try {
    thread.call({name: 'close', args: () => [fd]});
  } catch (error) {
    if (!(error instanceof SyscallError && error.code === 'EINTR')) throw error;
  }
};

const receive = (thread: StoppedThread, socket: number): number => {
  thread.call({
    name: 'recvmsg',
    args: (at) => [socket, at, MSG_CMSG_CLOEXEC | MSG_DONTWAIT],
    data: (at) => layOut(Buffer.alloc(SIZEOF_INCOMING), at),
  });
  const data = thread.data(SIZEOF_INCOMING);
  const hasRights =
    data.readInt32LE(CONTROL_AT + 8) === SOL_SOCKET && data.readInt32LE(CONTROL_AT + 12) === SCM_RIGHTS;
  // the kernel drops a descriptor that the owner has no number for
  if (!hasRights || Number(data.readBigUInt64LE(CONTROLLEN_AT)) < SIZEOF_CMSGHDR + 4)
    throw new SyscallError('recvmsg', EMFILE);
  return data.readInt32LE(CONTROL_AT + SIZEOF_CMSGHDR);
};

const NAME = 'kvfio-hand-over-';

export const AF_UNIX = 1;
export const SOCK_DGRAM = 2;
export const SOCK_NONBLOCK = 0o4000;
export const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_DONTWAIT = 0x40;
const MSG_CMSG_CLOEXEC = 0x40000000;
const EMFILE = 24;
const EBADMSG = 74;

/**
 * struct msghdr (56 bytes: name, namelen, iov, iovlen, control, controllen, flags), struct iovec, one byte of data padded
 * to 8, and struct cmsghdr (u64 len, s32 level, s32 type) with one descriptor.
 */
const CONTROLLEN_AT = 40;
const IOVEC_AT = 56;
const DATA_AT = 72;
const CONTROL_AT = 80;
const SIZEOF_CMSGHDR = 16;
/** CMSG_LEN and not CMSG_SPACE: in the padding the kernel would find room for a second descriptor. */
const SIZEOF_CONTROL = SIZEOF_CMSGHDR + 4;
const SIZEOF_INCOMING = CONTROL_AT + SIZEOF_CONTROL;
const ADDRESS_AT = SIZEOF_INCOMING;
const SIZEOF_OUTGOING = ADDRESS_AT + 110;

/** Writes the pointers between the parts of a message that is at `address`. */
const layOut = (bytes: Buffer, address: bigint): Buffer => {
  bytes.writeBigUInt64LE(address + BigInt(IOVEC_AT), 16);
  bytes.writeBigUInt64LE(1n, 24);
  bytes.writeBigUInt64LE(address + BigInt(CONTROL_AT), 32);
  bytes.writeBigUInt64LE(BigInt(SIZEOF_CONTROL), CONTROLLEN_AT);
  bytes.writeBigUInt64LE(address + BigInt(DATA_AT), IOVEC_AT);
  bytes.writeBigUInt64LE(1n, IOVEC_AT + 8);
  return bytes;
};
