import {fstatSync, readSync} from 'node:fs';
import type {Deadline} from '../deadline.js';
import {Descriptor, checked} from '../descriptor.js';
import {SyscallError} from '../errno.js';
import {O_RDONLY, open, syscall} from '../libc.js';
import {PinnedMemory} from '../memory.js';
import {POLLIN, ready} from '../readiness.js';

/** What the kernel says of a device when something happens to it. */
export interface Uevent {
  /** `add`, `remove`, `change`, `move`, `online`, `offline`, `bind` or `unbind` (kobject_actions in lib/kobject_uevent.c). */
  action: string;
  /** The device's folder below /sys. */
  path: string;
  /** All variables of the message: SUBSYSTEM, DRIVER, SEQNUM and others. */
  values: ReadonlyMap<string, string>;
}

/** Messages that were waiting, in their order. */
export interface Received {
  uevents: Uevent[];
  /** Whether the kernel dropped later ones, as the socket was full (ENOBUFS). */
  lost: boolean;
}

/**
 * The kernel's messages about devices (NETLINK_KOBJECT_UEVENT). Reading them needs no rights. Only who has CAP_NET_ADMIN, or
 * CAP_SYS_ADMIN over the network namespace, could send others (netlink_allowed() in net/netlink/af_netlink.c, uevent_net_rcv_skb() in
 * lib/kobject_uevent.c).
 */
export class UeventSocket extends Descriptor {
  readonly #buffer = Buffer.alloc(LONGEST);

  /**
   * @param room - bytes for messages that wait; the default is what udev asks for, some 100,000 of them
   * @throws {@link SyscallError}; EPROTONOSUPPORT where the kernel has no such messages
   */
  static open(room = 128 << 20): UeventSocket {
    const fd = syscall('socket', [
      AF_NETLINK,
      SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
      NETLINK_KOBJECT_UEVENT,
    ]);
    return checked(new UeventSocket(fd), (socket) => {
      socket.#makeRoom(room);
      const address = new PinnedMemory(SIZEOF_SOCKADDR_NL);
      address.bytes.writeUInt16LE(AF_NETLINK, 0);
      address.bytes.writeUInt32LE(FROM_KERNEL, 8);
      syscall('bind', [fd, address.at, SIZEOF_SOCKADDR_NL]);
    });
  }

  /**
   * Whether the kernel sends nothing here: it does in network namespaces of the first user namespace alone (uevent_net_init() in
   * lib/kobject_uevent.c).
   */
  static isDeaf(): boolean {
    try {
      using network = new Descriptor(open('/proc/self/ns/net', O_RDONLY));
      using owner = new Descriptor(syscall('ioctl', [network.fd, NS_GET_USERNS]));
      return fstatSync(owner.fd).ino !== FIRST_USER_NAMESPACE;
    } catch (error) {
      // EPERM: it belongs to a namespace above this process's own, which may be the first
      if (error instanceof SyscallError) return false;
      throw error;
    }
  }

  private constructor(fd: number) {
    super(fd);
  }

  /** What is waiting, and no more than `most` messages: signals and readers have their turn in between. Does not block. */
  receive(most = AT_ONCE): Received {
    const received: Received = {uevents: [], lost: false};
    while (received.uevents.length < most) {
      try {
        const uevent = parseUevent(this.#buffer.toString('utf8', 0, readSync(this.fd, this.#buffer)));
        if (uevent !== null) received.uevents.push(uevent);
      } catch (error) {
        const {code} = error as NodeJS.ErrnoException;
        if (code === 'EAGAIN') break;
        if (code === 'ENOBUFS') received.lost = true;
        else if (code !== 'EINTR') throw error;
      }
    }
    return received;
  }

  /** Waits, without blocking Node's loop, until a message is there, and no longer than until the deadline. */
  async wait(deadline: Deadline, signal: AbortSignal): Promise<void> {
    try {
      await ready(this.fd, POLLIN, deadline, signal);
    } catch (error) {
      if (!(error instanceof SyscallError && error.code === 'ETIMEDOUT')) throw error;
    }
  }

  /** Enlarges the buffer of the socket as far as this user may. */
  #makeRoom(room: number): void {
    const size = new PinnedMemory(4);
    size.bytes.writeInt32LE(room);
    for (const option of [SO_RCVBUFFORCE, SO_RCVBUF]) {
      try {
        syscall('setsockopt', [this.fd, SOL_SOCKET, option, size.at, 4]);
        return;
      } catch (error) {
        if (!(error instanceof SyscallError) || error.code !== 'EPERM') throw error;
      }
    }
  }
}

/**
 * Parses a message of the kernel: `ACTION@DEVPATH`, and then variables, each with a NUL behind it (kobject_uevent_env() in
 * lib/kobject_uevent.c).
 *
 * @returns null for one of another form
 */
export const parseUevent = (message: string): Uevent | null => {
  const [head = '', ...lines] = message.split('\0');
  const match = /^([a-z]+)@(\/.*)$/s.exec(head);
  if (match === null) return null;
  const [, action = '', path = ''] = match;
  const values = lines.flatMap((line): [string, string][] => {
    const equals = line.indexOf('=');
    return equals === -1 ? [] : [[line.slice(0, equals), line.slice(equals + 1)]];
  });
  return {action, path, values: new Map(values)};
};

/** include/linux/socket.h, include/uapi/linux/netlink.h */
const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const SOCK_NONBLOCK = 0o4000;
const NETLINK_KOBJECT_UEVENT = 15;
const SIZEOF_SOCKADDR_NL = 12;
/** The group of the kernel; udev sends its own to another one. */
const FROM_KERNEL = 1;
/** include/uapi/asm-generic/socket.h */
const SOL_SOCKET = 1;
const SO_RCVBUF = 8;
const SO_RCVBUFFORCE = 33;

/** include/uapi/linux/nsfs.h */
const NS_GET_USERNS = 0xb701;
/** PROC_USER_INIT_INO in include/linux/proc_ns.h, which became part of the interface. */
const FIRST_USER_NAMESPACE = 0xefff_fffd;

/** Messages. */
export const AT_ONCE = 500;

/** Bytes: more than any message has (UEVENT_BUFFER_SIZE in include/linux/kobject.h, and the path). */
const LONGEST = 16 << 10;
