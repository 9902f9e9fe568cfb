import {fstatSync} from 'node:fs';
import {constants} from 'node:os';
import {Deadline} from '../../linux/deadline.js';
import type {Descriptor} from '../../linux/descriptor.js';
import {SyscallError} from '../../linux/errno.js';
import {
  KVM_CREATE_DEVICE_TEST,
  KVM_DEV_TYPE_VFIO,
  KVM_DEV_VFIO_FILE,
  KVM_DEV_VFIO_FILE_ADD,
  KVM_DEV_VFIO_FILE_DEL,
} from '../../linux/ioctl.js';
import type {Vm} from '../../kvm/system.js';
import type {Message} from '../../linux/socket/socket-message.js';
import type {UnixSocket} from '../../linux/socket/unix-socket.js';
import {AgentHoldings} from './holdings.js';
import {
  AGENT_OPS,
  AGENT_VERSION,
  IDLE_SECONDS,
  SIZEOF_REQUEST,
  decodeRequest,
  encodeHello,
  encodeReply,
  type AgentHeld,
  type AgentRequest,
} from '../../vm/agent-protocol.js';

/** The agent of a VM of this process. Its clients share what it holds. */
export class AgentServer implements Disposable {
  readonly #vm: Vm;
  readonly #holdings = new AgentHoldings();

  /** Borrows `vm`. */
  constructor(vm: Vm) {
    this.#vm = vm;
  }

  /**
   * Serves one client until it closes the connection, is idle for too long, or does not keep to the protocol.
   *
   * @throws {@link SyscallError} of the socket; the reason of `signal`
   */
  async serve(connection: UnixSocket, signal: AbortSignal): Promise<void> {
    try {
      const hello = encodeHello({version: AGENT_VERSION, vmFd: this.#vm.fd});
      await connection.send(hello, [this.#vm], limit(), signal);
      while (await this.#serveOne(connection, signal));
    } finally {
      this.#holdings.end(connection);
    }
  }

  /** Closes what the agent holds. */
  [Symbol.dispose](): void {
    this.#holdings[Symbol.dispose]();
  }

  /** @returns whether the connection goes on */
  async #serveOne(connection: UnixSocket, signal: AbortSignal): Promise<boolean> {
    const deadline = limit();
    using message = await connection.receiveAll(SIZEOF_REQUEST, 1, deadline, signal, isWelcome);
    if (message.data.length < SIZEOF_REQUEST || !isWelcome(message)) return false;
    const request = decodeRequest(message.data);
    const answer = request.wellFormed ? this.#answer(request, message, connection) : {error: EPROTO};
    const {error = 0, fd = -1, held = [], descriptors = []} = answer;
    const reply = encodeReply({op: request.op, sequence: request.sequence, error, fd}, held);
    await connection.send(reply, descriptors, deadline, signal);
    return request.wellFormed;
  }

  #answer(request: AgentRequest, message: Message, connection: UnixSocket): Answer {
    try {
      return this.#execute(request, message, connection);
    } catch (error) {
      if (error instanceof SyscallError) return {error: error.errno};
      throw error;
    }
  }

  #execute(request: AgentRequest, message: Message, connection: UnixSocket): Answer {
    const {op, fd, type, attr} = request;
    const [passed] = message.descriptors;
    const wantsOne = op === AGENT_OPS.GIVE || (op === AGENT_OPS.SET_ATTR && request.value === -1);
    if (passed !== undefined && !wantsOne) return {error: EINVAL};
    switch (op) {
      case AGENT_OPS.CREATE_DEVICE:
        return this.#createDevice(request);
      case AGENT_OPS.HAS_ATTR:
        return {error: this.#holdings.device(fd).hasAttr(type, attributeOf(attr)) ? 0 : ENXIO};
      case AGENT_OPS.SET_ATTR:
        return this.#setAttr(request, message, connection);
      case AGENT_OPS.GIVE:
        if (passed === undefined) return {error: EINVAL};
        if (!fstatSync(passed.fd).isCharacterDevice()) return {error: EINVAL};
        this.#holdings.makeRoom();
        return {fd: this.#holdings.holdFile(message.take(passed), connection)};
      case AGENT_OPS.TAKE:
        return {descriptors: [this.#holdings.descriptor(fd)]};
      case AGENT_OPS.CLOSE:
        this.#holdings.close(fd, connection);
        return {};
      case AGENT_OPS.LIST:
        return {held: this.#holdings.list()};
      default:
        return {error: ENOSYS};
    }
  }

  #createDevice({type, flags}: AgentRequest): Answer {
    if (type !== KVM_DEV_TYPE_VFIO) return {error: EPERM};
    if ((flags & KVM_CREATE_DEVICE_TEST) !== 0) return {error: this.#vm.supportsDevice(type) ? 0 : ENODEV};
    this.#holdings.makeRoom();
    return {fd: this.#holdings.holdDevice(this.#vm.createDevice(KVM_DEV_TYPE_VFIO))};
  }

  #setAttr({fd, type, attr, value}: AgentRequest, message: Message, connection: UnixSocket): Answer {
    const device = this.#holdings.device(fd);
    const add = type === KVM_DEV_VFIO_FILE && attr === BigInt(KVM_DEV_VFIO_FILE_ADD);
    const del = type === KVM_DEV_VFIO_FILE && attr === BigInt(KVM_DEV_VFIO_FILE_DEL);
    const [passed] = message.descriptors;
    if (add && passed !== undefined) this.#holdings.makeRoom();
    const number = passed?.fd ?? value;
    device.setAttr(type, attributeOf(attr), payloadOf(number));
    const kept = add && passed !== undefined;
    if (kept) this.#holdings.holdFile(message.take(passed), connection);
    if (add) this.#holdings.added(number, device);
    if (del) this.#holdings.deleted(number, connection);
    return {fd: kept ? number : -1};
  }
}

interface Answer {
  error?: number;
  fd?: number;
  held?: readonly AgentHeld[];
  descriptors?: readonly Descriptor[];
}

const {EINVAL, ENODEV, ENOSYS, ENXIO, EPERM, EPROTO} = constants.errno;

/** The deadline of a request and its answer together. */
const limit = (): Deadline => Deadline.after(IDLE_SECONDS * 1000);

/** A socket could be the connection's own other end, which then would never be closed. */
const isWelcome = ({truncated, descriptors}: Message): boolean =>
  !truncated && descriptors.length <= 1 && !descriptors.some(({fd}) => fstatSync(fd).isSocket());

/** No device has attributes beyond 32 bits, which a number could not hold exactly. */
const attributeOf = (attr: bigint): number => {
  if (attr > 0xffff_ffffn) throw new SyscallError('agent', ENXIO);
  return Number(attr);
};

/** One descriptor, or on powerpc two: what the attributes of a kvm-vfio device point to. */
const payloadOf = (fd: number): Buffer => Buffer.from(new Int32Array([fd, -1]).buffer);
