/**
 * The messages between kvfio and the agent of a VMM. `owner/agent/kvfio-agent.h` is the specification, and has the names.
 */

const AGENT_MAGIC = Buffer.from('kvfioVM\n');
export const AGENT_VERSION = 1;
/** The agent refuses to hold more descriptors. */
export const MOST_HELD = 64;
/** A connection on which no request is completed for so long is closed. */
export const IDLE_SECONDS = 30;

const SIZEOF_HELLO = 16;
export const SIZEOF_REQUEST = 40;
export const SIZEOF_REPLY = 32;
export const SIZEOF_HELD = 16;

export const AGENT_OPS = {
  CREATE_DEVICE: 1,
  HAS_ATTR: 2,
  SET_ATTR: 3,
  GIVE: 4,
  TAKE: 5,
  CLOSE: 6,
  LIST: 7,
} as const;

export type AgentOp = keyof typeof AGENT_OPS;

const KINDS = ['device', 'vmm-device', 'given'] as const;

/** `struct kvfio_agent_hello`, which comes with the VM's descriptor. */
export interface AgentHello {
  version: number;
  /** Number of the VM's descriptor in the VMM. */
  vmFd: number;
}

/** `struct kvfio_agent_request`. What a request does not use is 0, and -1 for a descriptor. */
export interface AgentRequest {
  op: number;
  sequence: number;
  fd: number;
  type: number;
  flags: number;
  attr: bigint;
  value: number;
}

/** `struct kvfio_agent_reply`. */
export interface AgentReply {
  op: number;
  sequence: number;
  /** 0 or an error number. */
  error: number;
  /** Number of a descriptor in the VMM, or -1. */
  fd: number;
  /** Number of {@link AgentHeld} that follow. */
  count: number;
}

/** `struct kvfio_agent_held`: a descriptor that the agent holds. */
export interface AgentHeld {
  /** Its number in the VMM. */
  fd: number;
  /** A device that was made for a client or by the VMM itself, or what a client gave. */
  kind: (typeof KINDS)[number];
  /** The agent added it to a device and has not deleted it since. */
  registered: boolean;
  /** Number of the device node that was opened; 0 for other files. */
  major: number;
  minor: number;
}

export const encodeHello = ({version, vmFd}: AgentHello): Buffer => {
  const bytes = Buffer.alloc(SIZEOF_HELLO);
  AGENT_MAGIC.copy(bytes);
  bytes.writeUInt32LE(version, 8);
  bytes.writeInt32LE(vmFd, 12);
  return bytes;
};

/** @returns null for what a VMM without an agent sends */
export const decodeHello = (bytes: Buffer): AgentHello | null =>
  bytes.length === SIZEOF_HELLO && bytes.subarray(0, AGENT_MAGIC.length).equals(AGENT_MAGIC)
    ? {version: bytes.readUInt32LE(8), vmFd: bytes.readInt32LE(12)}
    : null;

export const encodeRequest = (request: AgentRequest): Buffer => {
  const bytes = Buffer.alloc(SIZEOF_REQUEST);
  writeHead(bytes, SIZEOF_REQUEST, request.op, request.sequence);
  bytes.writeInt32LE(request.fd, 12);
  bytes.writeUInt32LE(request.type, 16);
  bytes.writeUInt32LE(request.flags, 20);
  bytes.writeBigUInt64LE(request.attr, 24);
  bytes.writeInt32LE(request.value, 32);
  return bytes;
};

/** What can be read of a request, and whether it is one of this version. */
export const decodeRequest = (bytes: Buffer): AgentRequest & {wellFormed: boolean} => ({
  wellFormed: hasHead(bytes, SIZEOF_REQUEST) && bytes.readUInt32LE(36) === 0,
  op: bytes.readUInt16LE(6),
  sequence: bytes.readUInt32LE(8),
  fd: bytes.readInt32LE(12),
  type: bytes.readUInt32LE(16),
  flags: bytes.readUInt32LE(20),
  attr: bytes.readBigUInt64LE(24),
  value: bytes.readInt32LE(32),
});

export const encodeReply = (
  {op, sequence, error, fd}: Omit<AgentReply, 'count'>,
  held: readonly AgentHeld[],
): Buffer => {
  const bytes = Buffer.alloc(SIZEOF_REPLY);
  writeHead(bytes, SIZEOF_REPLY, op, sequence);
  bytes.writeInt32LE(error, 12);
  bytes.writeInt32LE(fd, 16);
  bytes.writeUInt32LE(held.length, 20);
  return Buffer.concat([bytes, ...held.map(encodeHeld)]);
};

/** @returns null for what is not a reply of this version */
export const decodeReply = (bytes: Buffer): AgentReply | null => {
  if (bytes.length !== SIZEOF_REPLY || !hasHead(bytes, SIZEOF_REPLY)) return null;
  const count = bytes.readUInt32LE(20);
  if (count > MOST_HELD) return null;
  return {
    op: bytes.readUInt16LE(6),
    sequence: bytes.readUInt32LE(8),
    error: bytes.readInt32LE(12),
    fd: bytes.readInt32LE(16),
    count,
  };
};

/** @returns null for a kind that this version does not know */
export const decodeHeld = (bytes: Buffer): AgentHeld | null => {
  const kind = KINDS[bytes.readUInt16LE(4) - 1];
  return kind === undefined
    ? null
    : {
        fd: bytes.readInt32LE(0),
        kind,
        registered: bytes.readUInt16LE(6) !== 0,
        major: bytes.readUInt32LE(8),
        minor: bytes.readUInt32LE(12),
      };
};

const encodeHeld = ({fd, kind, registered, major, minor}: AgentHeld): Buffer => {
  const bytes = Buffer.alloc(SIZEOF_HELD);
  bytes.writeInt32LE(fd, 0);
  bytes.writeUInt16LE(KINDS.indexOf(kind) + 1, 4);
  bytes.writeUInt16LE(Number(registered), 6);
  bytes.writeUInt32LE(major, 8);
  bytes.writeUInt32LE(minor, 12);
  return bytes;
};

/** Requests and replies begin alike: u32 size, u16 version, u16 op, u32 sequence. */
const writeHead = (bytes: Buffer, size: number, op: number, sequence: number): void => {
  bytes.writeUInt32LE(size, 0);
  bytes.writeUInt16LE(AGENT_VERSION, 4);
  bytes.writeUInt16LE(op, 6);
  bytes.writeUInt32LE(sequence, 8);
};

const hasHead = (bytes: Buffer, size: number): boolean =>
  bytes.readUInt32LE(0) === size && bytes.readUInt16LE(4) === AGENT_VERSION;
