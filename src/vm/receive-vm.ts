import {statSync} from 'node:fs';
import {setTimeout as sleep} from 'node:timers/promises';
import {Failure, type FailureParts} from '../failure.js';
import type {Deadline} from '../linux/deadline.js';
import type {Descriptor} from '../linux/descriptor.js';
import {SyscallError} from '../linux/errno.js';
import {KVM_VM} from '../kvm/links.js';
import {Process} from '../linux/proc/process.js';
import {isAbstract} from '../linux/socket/socket-address.js';
import {MOST_DESCRIPTORS, type Message} from '../linux/socket/socket-message.js';
import {UnixSocket, type PeerCredentials} from '../linux/socket/unix-socket.js';
import {decodeHello, type AgentHello} from './agent-protocol.js';
import {ADDRESS_REFUSALS, type SocketRefusals} from './socket-refusals.js';

/** More text than any greeting; what a peer sends beyond it is not looked at. */
const LONGEST_GREETING = 4096;

/** Where a VM came from. */
export interface VmSource {
  /** Path, or abstract name as `@name`. */
  address: string;
  /** The process that listened there: a hint at the owner, not a proof. */
  peer: PeerCredentials;
}

/** A VM that was received over a socket, and the connection, on which an agent may answer. */
export class ReceivedVm implements VmSource, Disposable {
  /** Says which VM it is, and is good for nothing else: KVM answers EIO to this process. */
  readonly vm: Descriptor;
  readonly connection: UnixSocket;
  readonly address: string;
  readonly peer: PeerCredentials;
  /** null when the VMM only sent the descriptor. */
  readonly agent: AgentHello | null;

  constructor(vm: Descriptor, connection: UnixSocket, address: string, agent: AgentHello | null) {
    this.vm = vm;
    this.connection = connection;
    this.address = address;
    this.peer = connection.peer();
    this.agent = agent;
  }

  [Symbol.dispose](): void {
    this.connection[Symbol.dispose]();
    this.vm[Symbol.dispose]();
  }
}

export interface ReceiveOptions {
  /** The deadline for receiving the VM, however slowly the peer sends. */
  deadline: Deadline;
  /** Wait for the socket to appear, or for somebody to listen at it. */
  wait?: boolean;
  signal?: AbortSignal;
}

/**
 * Connects to the socket of a VMM and receives a VM: the first message has to bring a descriptor of one. All other
 * descriptors that came are closed. The caller closes the result.
 *
 * @param address - path, or abstract name as `@name`
 * @throws {@link Failure}: notFound, permission, usage, refused or timeout
 */
export const receiveVm = async (
  address: string,
  {deadline, wait = false, signal}: ReceiveOptions,
): Promise<ReceivedVm> => {
  const connection = await connectTo(address, deadline, wait, signal);
  try {
    using message = await firstMessage(connection, address, deadline, signal);
    const vm = message.descriptors.find((descriptor) => kindOf(descriptor) === KVM_VM);
    if (vm === undefined) throw notAVm(address, message);
    const received = new ReceivedVm(vm, connection, address, decodeHello(message.data));
    message.take(vm);
    return received;
  } catch (error) {
    connection[Symbol.dispose]();
    throw error;
  }
};

const connectTo = async (
  address: string,
  deadline: Deadline,
  wait: boolean,
  signal?: AbortSignal,
): Promise<UnixSocket> => {
  for (;;) {
    try {
      return await UnixSocket.connect(address, deadline, signal);
    } catch (error) {
      if (!(error instanceof SyscallError)) throw error;
      if (error.code === 'ECONNREFUSED' && isOtherFile(address)) throw notASocket(address, error);
      const later = wait && (error.code === 'ENOENT' || error.code === 'ECONNREFUSED') && !deadline.passed;
      if (!later) throw notConnected(address, error, wait);
    }
    await sleep(deadline.remaining(50), undefined, signal === undefined ? {} : {signal});
  }
};

const firstMessage = async (
  connection: UnixSocket,
  address: string,
  deadline: Deadline,
  signal?: AbortSignal,
): Promise<Message> => {
  try {
    return await connection.receive(LONGEST_GREETING, MOST_DESCRIPTORS, deadline, signal);
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    if (error.code === 'ECONNRESET') throw closedAtOnce(address, error);
    if (error.code !== 'ETIMEDOUT') throw error;
    throw noVm(address, {
      code: 'VM_SOCKET_SILENT',
      kind: 'timeout',
      why: `A process listens there (${described(connection.peer())}) but sent nothing within the time limit.`,
      hint: 'Check that the process is not stopped, and that it sends the descriptor of its VM to whoever connects.',
      cause: error,
    });
  }
};

const notAVm = (address: string, message: Message): Failure => {
  const kinds = message.descriptors.map(kindOf);
  if (message.truncated) {
    return noVm(address, {
      code: 'VM_MESSAGE_TRUNCATED',
      kind: 'refused',
      why: 'The peer sent more descriptors than could be received, and no VM was among the first ones.',
      hint: 'Have it send one descriptor, that of its VM; or raise the limit of open files (ulimit -n) when it did.',
    });
  }
  if (kinds.length > 0) {
    return noVm(address, {
      code: 'NOT_A_VM',
      kind: 'notFound',
      why: `The peer sent ${named(kinds)}, and no descriptor of a VM.`,
      hint: `Have it send the descriptor that KVM_CREATE_VM returned, which reads ${KVM_VM} in /proc/PID/fd.`,
    });
  }
  if (message.data.length === 0) return closedAtOnce(address);
  return noVm(address, {
    code: 'VM_NOT_SENT',
    kind: 'notFound',
    why: `The peer sent ${count(message.data.length, 'byte')} and no descriptor (${excerpt(message.data)}).`,
    hint: 'Name the socket at which the VMM hands out its VM; a monitor or QMP socket is another one.',
  });
};

const closedAtOnce = (address: string, cause?: unknown): Failure =>
  noVm(address, {
    code: 'VM_NOT_SENT',
    kind: 'notFound',
    why: 'The peer closed the connection and sent nothing.',
    hint: 'Look at the log of the VMM, which may hand out its VM to certain users only.',
    cause,
  });

const notConnected = (address: string, error: SyscallError, waited: boolean): Failure => {
  const [kind, why, hint] = REASONS[error.code] ?? [
    'kernelRefused',
    `The kernel answered ${error.code} to connect.`,
    'Check the socket with "ss -xl".',
  ];
  const expired = waited && kind === 'notFound';
  return noVm(address, {
    code: expired || kind === 'timeout' ? 'VM_SOCKET_TIMEOUT' : 'VM_SOCKET_NOT_CONNECTED',
    kind: expired ? 'timeout' : kind,
    why: expired ? `${why} kvfio waited for it until the time limit.` : why,
    hint: expired ? 'Start the VMM, or give it longer with --timeout.' : hint,
    errno: error.code,
    cause: error,
  });
};

/** The kernel refuses to connect to any file that is not a socket just as to a socket that is dead. */
const isOtherFile = (address: string): boolean =>
  !isAbstract(address) && statSync(address, {throwIfNoEntry: false})?.isSocket() === false;

const notASocket = (address: string, cause: SyscallError): Failure =>
  noVm(address, {
    code: 'NOT_A_SOCKET',
    kind: 'usage',
    why: 'It is not a socket.',
    hint: 'Name the socket at which the VMM hands out its VM.',
    errno: cause.code,
    cause,
  });

const REASONS: SocketRefusals = {
  ...ADDRESS_REFUSALS,
  ENOENT: [
    'notFound',
    'There is no such socket.',
    'Start the VMM first, or add --wait to wait for its socket.',
  ],
  ELOOP: ['notFound', 'The path has too many symbolic links.', 'Name the socket of the VMM.'],
  ECONNREFUSED: [
    'notFound',
    'Nobody listens there.',
    'Start the VMM that made the socket again, or add --wait to wait for it.',
  ],
  EPROTOTYPE: ['usage', 'It is not a stream socket.', 'Have the VMM listen at a socket of type SOCK_STREAM.'],
  EACCES: [
    'permission',
    'You may not write to the socket, or not pass a folder on the way.',
    'Run kvfio as the user of the VMM or as root.',
  ],
  EPERM: ['permission', 'A security policy forbids it.', 'Run kvfio as the user of the VMM or as root.'],
  ETIMEDOUT: [
    'timeout',
    'A process listens there but accepts no connection.',
    'Check that the process is not stopped.',
  ],
};

const noVm = (address: string, parts: Omit<FailureParts, 'what'>): Failure =>
  new Failure({what: `No VM was received from ${address}.`, ...parts});

const kindOf = ({fd}: Descriptor): string => new Process(process.pid).descriptor(fd);

/** `/dev/null`, or `/dev/null, anon_inode:kvm-vcpu:0 and 251 more`. */
const named = (kinds: readonly string[]): string => {
  const shown = kinds.slice(0, 2).join(', ');
  return kinds.length > 2 ? `${shown} and ${kinds.length - 2} more` : shown;
};

const described = ({pid, uid}: PeerCredentials): string => `process ${pid} of user ${uid}`;

const count = (number: number, noun: string): string => `${number} ${noun}${number === 1 ? '' : 's'}`;

const excerpt = (bytes: Buffer): string =>
  JSON.stringify(bytes.subarray(0, 40).toString('latin1')) + (bytes.length > 40 ? ' and more' : '');
