import {constants} from 'node:os';
import {Failure, type FailureParts} from '../../failure.js';
import {Deadline} from '../../linux/deadline.js';
import type {Descriptor} from '../../linux/descriptor.js';
import {SyscallError} from '../../linux/errno.js';
import type {Message} from '../../linux/socket/socket-message.js';
import {
  AGENT_OPS,
  AGENT_VERSION,
  SIZEOF_HELD,
  SIZEOF_REPLY,
  decodeHeld,
  decodeReply,
  encodeRequest,
  type AgentHello,
  type AgentHeld,
  type AgentOp,
  type AgentReply,
  type AgentRequest,
} from '../../vm/agent-protocol.js';
import type {Owner} from '../owner.js';
import type {ReceivedVm} from '../../vm/receive-vm.js';
import {requireTrustedSocket} from '../../vm/socket-trust.js';

/** Milliseconds that an agent may take for one answer. */
const PATIENCE = 5000;

/**
 * An owner that does by itself what it is asked for over the socket that its VM came from.
 *
 * What was given to it and is not registered with a device goes with the connection, so a kvfio that is killed
 * leaves nothing behind. Beside what {@link Owner} says, methods throw a {@link Failure} when the agent is silent,
 * gone or does not keep to the protocol; the connection is closed then.
 */
export class AgentClient implements Owner {
  readonly way = 'agent';
  readonly pid: number;
  readonly #received: ReceivedVm;
  readonly #patience: number;
  readonly #hello: AgentHello;
  #sequence = 0;
  #ended: Failure | undefined;

  /**
   * Borrows `received`; the caller still closes it.
   *
   * @param pid - the owner as found by {@link findOwner}
   * @param patience - milliseconds for one answer
   * @throws {@link Failure} when the VMM has no agent
   */
  constructor(received: ReceivedVm, pid = received.peer.pid, patience = PATIENCE) {
    if (received.agent === null) throw noAgent(received.address);
    this.#received = received;
    this.#hello = received.agent;
    this.#patience = patience;
    this.pid = pid;
  }

  /** Number of the VM's descriptor in the owner. */
  get vmFd(): number {
    return this.#hello.vmFd;
  }

  createDevice(vmFd: number, type: number): number {
    if (vmFd !== this.vmFd) throw new SyscallError(CALLS.CREATE_DEVICE, constants.errno.EBADF);
    return this.#ask('CREATE_DEVICE', {type}).fd;
  }

  /** Whether a device has an attribute (KVM_HAS_DEVICE_ATTR). */
  hasDeviceAttr(deviceFd: number, group: number, attr: number): boolean {
    try {
      this.#ask('HAS_ATTR', {fd: deviceFd, type: group, attr: BigInt(attr)});
      return true;
    } catch (error) {
      if (error instanceof SyscallError && error.code === 'ENXIO') return false;
      throw error;
    }
  }

  setDeviceAttr(deviceFd: number, group: number, attr: number, fd: number): void {
    this.#ask('SET_ATTR', {fd: deviceFd, type: group, attr: BigInt(attr), value: fd});
  }

  giveDescriptor(descriptor: Descriptor): number {
    requireTrustedSocket(this.#received);
    return this.#ask('GIVE', {}, descriptor).fd;
  }

  closeDescriptor(fd: number): void {
    this.#ask('CLOSE', {fd});
  }

  takeDescriptor(fd: number): Descriptor {
    using answer = this.#exchange('TAKE', {fd});
    const [descriptor] = answer.message.descriptors;
    if (descriptor === undefined) throw this.#end(malformed('no descriptor came'));
    return answer.message.take(descriptor);
  }

  /** What the agent holds: devices, and what clients gave it. */
  held(): AgentHeld[] {
    using answer = this.#listing();
    const bytes = this.#receive(answer.reply.count * SIZEOF_HELD, answer.deadline);
    return Array.from({length: answer.reply.count}, (_, index) => {
      const held = decodeHeld(bytes.data.subarray(index * SIZEOF_HELD, (index + 1) * SIZEOF_HELD));
      if (held === null) throw this.#end(malformed('it holds something of an unknown kind'));
      return held;
    });
  }

  together<T>(work: () => T): T {
    return work();
  }

  [Symbol.dispose](): void {
    // the connection is the caller's
  }

  /** An agent that does not say what it holds is of no use for any change. */
  #listing(): Answer & Disposable {
    try {
      return this.#exchange('LIST', {});
    } catch (error) {
      throw error instanceof SyscallError ? this.#end(unlisted(error)) : error;
    }
  }

  #ask(op: AgentOp, fields: Partial<AgentRequest>, descriptor?: Descriptor): AgentReply {
    using answer = this.#exchange(op, fields, descriptor === undefined ? [] : [descriptor]);
    return answer.reply;
  }

  /** Sends a request and receives the reply; throws the error that is in it. */
  #exchange(
    op: AgentOp,
    fields: Partial<AgentRequest>,
    descriptors: readonly Descriptor[] = [],
  ): Answer & Disposable {
    if (this.#ended !== undefined) throw this.#ended;
    this.#sequence += 1;
    const request = {...UNUSED, ...fields, op: AGENT_OPS[op], sequence: this.#sequence};
    const {connection} = this.#received;
    const deadline = Deadline.after(this.#patience);
    this.#translating(() => {
      connection.sendNow(encodeRequest(request), descriptors, deadline);
    });
    const message = this.#receive(SIZEOF_REPLY, deadline);
    try {
      const reply = decodeReply(message.data);
      if (reply?.op !== request.op || reply.sequence !== request.sequence)
        throw this.#end(malformed('its answer is of another protocol, or to another request'));
      if (reply.count > 0 && op !== 'LIST') throw this.#end(malformed('its answer is too long'));
      if (reply.error < 0 || reply.error > MAX_ERRNO)
        throw this.#end(malformed(`its answer has the error ${reply.error}, which is none`));
      if (reply.error !== 0) throw new SyscallError(CALLS[op], reply.error);
      return {
        reply,
        message,
        deadline,
        [Symbol.dispose]: () => {
          message[Symbol.dispose]();
        },
      };
    } catch (error) {
      message[Symbol.dispose]();
      throw error;
    }
  }

  #receive(size: number, deadline: Deadline): Message {
    const message = this.#translating(() => this.#received.connection.receiveAllNow(size, 1, deadline));
    if (message.data.length === size) return message;
    message[Symbol.dispose]();
    throw this.#end(gone());
  }

  /** Turns what may happen to the connection into a failure, so that a SyscallError is always the owner's own. */
  #translating<T>(transfer: () => T): T {
    try {
      return transfer();
    } catch (error) {
      if (!(error instanceof SyscallError)) throw error;
      if (error.code === 'ETIMEDOUT') throw this.#end(silent(this.#patience));
      if (error.code === 'EPIPE' || error.code === 'ECONNRESET') throw this.#end(gone());
      throw this.#end(cutOff(error));
    }
  }

  /** Ends the connection, which may be in the middle of an answer, so that the agent takes back what is unfinished. */
  #end(parts: Why): Failure {
    this.#received.connection[Symbol.dispose]();
    this.#ended = new Failure({
      what: `The agent of the VM at ${this.#received.address} did not do what kvfio asked.`,
      ...parts,
    });
    return this.#ended;
  }
}

interface Answer {
  reply: AgentReply;
  /** The message that brought the reply, with the descriptor in it. */
  message: Message;
  /** The deadline of the whole exchange. */
  deadline: Deadline;
}

/** include/linux/err.h */
const MAX_ERRNO = 4095;

const UNUSED = {fd: -1, type: 0, flags: 0, attr: 0n, value: -1};

/** What a refusal of each request is a refusal of. */
const CALLS: Record<AgentOp, string> = {
  CREATE_DEVICE: 'ioctl(KVM_CREATE_DEVICE)',
  HAS_ATTR: 'ioctl(KVM_HAS_DEVICE_ATTR)',
  SET_ATTR: 'ioctl(KVM_SET_DEVICE_ATTR)',
  GIVE: 'agent(GIVE)',
  TAKE: 'agent(TAKE)',
  CLOSE: 'agent(CLOSE)',
  LIST: 'agent(LIST)',
};

type Why = Omit<FailureParts, 'what'>;

const silent = (patience: number): Why => ({
  code: 'AGENT_SILENT',
  kind: 'timeout',
  why: `It gave no complete answer within ${patience / 1000} s.`,
  hint: 'Check that the VMM is not stopped. It undoes what it had not finished when it runs again.',
});

const gone = (): Why => ({
  code: 'AGENT_GONE',
  kind: 'notFound',
  why: 'It closed the connection.',
  hint: 'Check whether the VMM is still running.',
});

/** The failure when kvfio itself cannot go on; the owner may have done what it was asked for. */
const cutOff = (error: SyscallError): Why => ({
  code: 'AGENT_CUT_OFF',
  kind: 'kernelRefused',
  why: `The kernel answered ${error.code} to ${error.syscall} of kvfio itself, so what it has done is not known.`,
  hint: 'Look at the VM with "kvfio status", and try again.',
  errno: error.code,
  cause: error,
});

const unlisted = (error: SyscallError): Why => ({
  code: 'AGENT_REFUSED',
  kind: 'kernelRefused',
  why: `It answered ${error.code} when it was asked what it holds.`,
  hint: 'Try again, or leave the agent out with --via inject.',
  errno: error.code,
  cause: error,
});

const malformed = (how: string): Why => ({
  code: 'AGENT_PROTOCOL',
  kind: 'refused',
  why: `It does not keep to version ${AGENT_VERSION} of the protocol: ${how}.`,
  hint: 'Build the VMM with the kvfio-agent.h of this version of kvfio, or leave the agent out with --via inject.',
});

const noAgent = (address: string): Failure =>
  new Failure({
    code: 'NO_AGENT',
    kind: 'notFound',
    what: `The VM at ${address} cannot be managed through an agent.`,
    why: 'Its VMM sends the descriptor of the VM and does not announce an agent.',
    hint: 'Use --via inject, or build kvfio-agent.h into the VMM.',
  });
