import {Descriptor} from '../descriptor.js';
import {addressOf, recvmsg, sendmsg} from '../libc.js';

/** The kernel passes no more descriptors in one message (SCM_MAX_FD in include/net/scm.h). */
export const MOST_DESCRIPTORS = 253;

/**
 * What one recvmsg(2) brought: bytes, and descriptors that are closed with this object unless they are taken out.
 */
export class Message implements Disposable {
  /** Empty when the peer has shut the connection down. */
  readonly data: Buffer;
  /** The kernel dropped descriptors: there were more than was room for, or this process may open no more. */
  readonly truncated: boolean;
  readonly #descriptors: Descriptor[];

  constructor(data: Buffer, descriptors: Descriptor[], truncated: boolean) {
    this.data = data;
    this.#descriptors = descriptors;
    this.truncated = truncated;
  }

  /** Descriptors that nobody has taken yet. */
  get descriptors(): readonly Descriptor[] {
    return this.#descriptors;
  }

  /** Several messages as one, which takes over their descriptors. */
  static joined(messages: readonly Message[]): Message {
    return new Message(
      Buffer.concat(messages.map(({data}) => data)),
      messages.flatMap((message) => message.#descriptors.splice(0)),
      messages.some(({truncated}) => truncated),
    );
  }

  /** Takes out one of {@link descriptors}: closing it is the caller's duty now. */
  take(descriptor: Descriptor): Descriptor {
    const index = this.#descriptors.indexOf(descriptor);
    if (index === -1) throw new Error('the descriptor is not, or no longer, in this message');
    this.#descriptors.splice(index, 1);
    return descriptor;
  }

  [Symbol.dispose](): void {
    const [first, ...rest] = this.#descriptors.splice(0);
    try {
      first?.[Symbol.dispose]();
    } finally {
      if (rest.length > 0) new Message(this.data, rest, this.truncated)[Symbol.dispose]();
    }
  }
}

/**
 * Sends bytes, and with the first of them descriptors (SCM_RIGHTS). Blocks no longer than the socket does.
 *
 * @returns how many bytes went out; the descriptors went with them
 * @throws {@link SyscallError}
 */
export const sendMessage = (fd: number, data: Buffer, descriptors: readonly Descriptor[]): number => {
  const rights = Buffer.alloc(descriptors.length * 4);
  for (const [index, descriptor] of descriptors.entries()) rights.writeInt32LE(descriptor.fd, index * 4);
  const message = layOut(data.length, descriptors.length);
  data.copy(message.data);
  if (descriptors.length > 0) {
    message.control.writeBigUInt64LE(BigInt(SIZEOF_CMSGHDR + rights.length), 0);
    message.control.writeInt32LE(SOL_SOCKET, 8);
    message.control.writeInt32LE(SCM_RIGHTS, 12);
    rights.copy(message.control, SIZEOF_CMSGHDR);
  }
  return sendmsg(fd, message.header);
};

/**
 * Receives what has come, up to the next message with descriptors. Blocks no longer than the socket does.
 *
 * @param size - of the bytes, at most
 * @param room - for so many descriptors
 * @throws {@link SyscallError}
 */
export const receiveMessage = (fd: number, size: number, room = MOST_DESCRIPTORS): Message => {
  const {header, control, data} = layOut(size, room);
  const length = recvmsg(fd, header);
  const descriptors = rightsIn(control.subarray(0, Number(header.readBigUInt64LE(MSG_CONTROLLEN))));
  const truncated = (header.readInt32LE(MSG_FLAGS) & MSG_CTRUNC) !== 0;
  return new Message(
    data.subarray(0, length),
    descriptors.map((each) => new Descriptor(each)),
    truncated,
  );
};

const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_CTRUNC = 8;

/** `struct cmsghdr`: u64 len, s32 level, s32 type, and then the data; both begin at multiples of 8. */
const SIZEOF_CMSGHDR = 16;
const aligned = (length: number): number => (length + 7) & ~7;

/** `struct msghdr`: name, namelen, iov (16), iovlen (24), control (32), controllen (40), s32 flags (48). */
const SIZEOF_MSGHDR = 56;
const MSG_CONTROLLEN = 40;
const MSG_FLAGS = 48;
const SIZEOF_IOVEC = 16;

interface Layout {
  header: Buffer;
  control: Buffer;
  data: Buffer;
}

/** A `struct msghdr` and all that it points to, in one piece of memory that does not move. */
const layOut = (size: number, descriptors: number): Layout => {
  // not aligned: in the padding the kernel would find room for one more
  const controlLength = descriptors === 0 ? 0 : SIZEOF_CMSGHDR + descriptors * 4;
  const iovecAt = SIZEOF_MSGHDR;
  const controlAt = iovecAt + SIZEOF_IOVEC;
  const dataAt = controlAt + controlLength;
  const memory = Buffer.from(new ArrayBuffer(dataAt + size));
  const base = addressOf(memory);
  memory.writeBigUInt64LE(base + BigInt(iovecAt), 16);
  memory.writeBigUInt64LE(1n, 24);
  memory.writeBigUInt64LE(base + BigInt(controlAt), 32);
  memory.writeBigUInt64LE(BigInt(controlLength), MSG_CONTROLLEN);
  memory.writeBigUInt64LE(base + BigInt(dataAt), iovecAt);
  memory.writeBigUInt64LE(BigInt(size), iovecAt + 8);
  return {header: memory, control: memory.subarray(controlAt, dataAt), data: memory.subarray(dataAt)};
};

/** The numbers in the SCM_RIGHTS parts of received control data. */
const rightsIn = (control: Buffer): number[] => {
  const numbers: number[] = [];
  for (let at = 0; at + SIZEOF_CMSGHDR <= control.length;) {
    const length = Number(control.readBigUInt64LE(at));
    const end = Math.min(at + length, control.length);
    if (control.readInt32LE(at + 8) === SOL_SOCKET && control.readInt32LE(at + 12) === SCM_RIGHTS) {
      for (let each = at + SIZEOF_CMSGHDR; each + 4 <= end; each += 4)
        numbers.push(control.readInt32LE(each));
    }
    at += aligned(Math.max(length, SIZEOF_CMSGHDR));
  }
  return numbers;
};
