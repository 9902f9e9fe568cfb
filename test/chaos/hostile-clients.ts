import {Deadline} from '../../src/linux/deadline.js';
import {Descriptor} from '../../src/linux/descriptor.js';
import {SyscallError} from '../../src/linux/errno.js';
import {O_RDONLY, open, pipe} from '../../src/linux/libc.js';
import {KVM_DEV_TYPE_VFIO} from '../../src/linux/ioctl.js';
import {Process} from '../../src/linux/proc/process.js';
import {UnixSocket} from '../../src/linux/socket/unix-socket.js';
import {AgentClient} from '../../src/owner/agent/client.js';
import {AGENT_OPS, encodeRequest} from '../../src/vm/agent-protocol.js';
import {receiveVm} from '../../src/vm/receive-vm.js';
import {countDescriptors, scratch, settled, startKvfioVm, type Vmm} from '../vm/vmm.js';
import {descriptorsAtRest, killed, residentOf, startExample} from './owners.js';
import {Chance, type Tally, type Trial} from './trial.js';

export const trial: Trial = {
  what: 'hostile clients of kvfio vm and of the agent in C',
  needs: ['kvm', 'cc'],
  run: async (tally, {size, seed}) => {
    const messages = {small: 1000, medium: 3000, large: 40_000}[size];
    const details: string[] = [];
    using folder = scratch();
    for (const [name, launch] of [
      ['kvfio vm', (socket: string) => startKvfioVm(['--sock', socket])],
      ['C', (socket: string) => startExample(socket)],
    ] as const) {
      const socket = folder.path(`${name}.sock`);
      const vmm = await launch(socket);
      try {
        details.push(`${name}: ${await attack(tally, vmm, {socket, messages, chance: new Chance(seed)})}`);
        if ((await vmm.end()) !== 0) tally.harmed.push(`${name} ended with ${vmm.output().stderr}`);
      } finally {
        await killed(vmm);
      }
    }
    tally.detail = details.join('; ');
  },
};

/** KiB that an agent may grow by: Node's heap breathes. */
const GROWTH = 48 * 1024;

const attack = async (
  tally: Tally,
  vmm: Vmm,
  {socket, messages, chance}: {socket: string; messages: number; chance: Chance},
): Promise<string> => {
  using files = new Ammunition();
  await answersOthers(socket);
  const idle = await settled(() => countDescriptors(vmm.pid));
  const links = describe(vmm.pid);
  let [warm, sent, connections] = [0, 0, 0];
  while (sent < messages) {
    await tally.round(async () => {
      connections += 1;
      sent += await oneConnection(socket, files, chance);
    });
    if (vmm.process.exitCode !== null || vmm.process.signalCode !== null) {
      tally.harmed.push(`it ended after ${sent} messages: ${vmm.output().stderr}`);
      break;
    }
    if (connections % 50 === 0) await tally.round(() => answersOthers(socket));
    if (warm === 0 && sent > messages / 4) warm = residentOf(vmm.pid);
    if (tally.lost.length > 20) break;
  }
  // one round is one message in the table
  tally.rounds += sent - connections;
  const growth = residentOf(vmm.pid) - warm;
  if (growth > GROWTH) tally.leaked.push(`it grew by ${growth} KiB`);
  await answersOthers(socket, true);
  const now = await descriptorsAtRest(vmm.pid, idle);
  if (now !== idle)
    tally.leaked.push(
      `it has ${describe(vmm.pid)
        .filter((link) => !links.includes(link))
        .join(', ')}`,
    );
  return `${sent} messages in ${connections} connections, ${growth} KiB more`;
};

const describe = (pid: number): string[] =>
  [...new Process(pid).descriptors()].map(([fd, link]) => `${fd} ${link}`);

/** A client that keeps to the protocol is answered, whatever others do. */
const answersOthers = async (socket: string, tidy = false): Promise<void> => {
  using received = await receiveVm(socket, {deadline: Deadline.after(20_000)});
  const agent = new AgentClient(received);
  for (const {fd, kind} of agent.held()) if (tidy || kind === 'device') closeIfOpen(agent, fd);
  const device = agent.createDevice(agent.vmFd, KVM_DEV_TYPE_VFIO);
  agent.closeDescriptor(device);
};

/** A hostile client that is served meanwhile may have closed it. */
const closeIfOpen = (agent: AgentClient, fd: number): void => {
  try {
    agent.closeDescriptor(fd);
  } catch (error) {
    if (!(error instanceof SyscallError && error.code === 'EBADF')) throw error;
  }
};

/** Sends until the agent has enough, or some. @returns how many messages */
const oneConnection = async (socket: string, files: Ammunition, chance: Chance): Promise<number> => {
  using connection = await UnixSocket.connect(socket, Deadline.after(20_000));
  const most = 1 + chance.below(30);
  let sent = 0;
  try {
    if (chance.below(4) > 0) await receive(connection, 2000);
    while (sent < most) {
      const kind = chance.of(KINDS);
      sent += await SHOTS[kind](connection, files, chance);
      if (chance.below(3) === 0) await receive(connection, 5);
    }
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    // what there is to be had: the agent went away, or takes no more for now
    if (!['EPIPE', 'ECONNRESET', 'ETIMEDOUT'].includes(error.code)) throw error;
    sent += 1;
  }
  return Math.max(1, sent);
};

const receive = async (connection: UnixSocket, milliseconds: number): Promise<void> => {
  try {
    using message = await connection.receive(4096, 10, Deadline.after(milliseconds));
    if (message.data.length === 0) throw new SyscallError('recvmsg', 104);
  } catch (error) {
    if (!(error instanceof SyscallError && error.code === 'ETIMEDOUT')) throw error;
  }
};

type Shot = (connection: UnixSocket, files: Ammunition, chance: Chance) => Promise<number>;

const now = (): Deadline => Deadline.after(50);

const SHOTS = {
  random: async (connection, _files, chance) => {
    await connection.send(chance.bytes(1 + chance.below(200)), [], now());
    return 1;
  },
  mutated: async (connection, files, chance) => {
    const bytes = request(chance);
    for (let flips = 1 + chance.below(6); flips > 0; flips -= 1)
      bytes[chance.below(bytes.length)] = chance.below(256);
    await connection.send(bytes, chance.below(3) === 0 ? [chance.of(files.all)] : [], now());
    return 1;
  },
  senseless: async (connection, files, chance) => {
    await connection.send(request(chance), chance.below(2) === 0 ? [chance.of(files.all)] : [], now());
    return 1;
  },
  truncated: async (connection, files, chance) => {
    const bytes = request(chance);
    const part = bytes.subarray(0, 1 + chance.below(bytes.length - 1));
    await connection.send(part, chance.below(2) === 0 ? [chance.of(files.all)] : [], now());
    return 1;
  },
  'its own end': async (connection, _files, chance) => {
    await connection.send(request(chance), [connection], now());
    return 1;
  },
  'too many': async (connection, files, chance) => {
    const many = Array.from({length: 2 + chance.below(252)}, () => chance.of(files.all));
    await connection.send(request(chance), many, now());
    return 1;
  },
  fragments: async (connection, files, chance) => {
    const bytes = request(chance);
    for (let at = 0; at < bytes.length;) {
      const end = at + 1 + chance.below(8);
      await connection.send(
        bytes.subarray(at, end),
        chance.below(8) === 0 ? [chance.of(files.all)] : [],
        now(),
      );
      at = end;
    }
    return 1;
  },
  flood: async (connection, _files, chance) => {
    const many = Array.from({length: 4 + chance.below(20)}, () => request(chance));
    await connection.send(Buffer.concat(many), [], now());
    return many.length;
  },
} satisfies Record<string, Shot>;

/** Some end the connection at once, so those that do not come more often. */
const KINDS: readonly (keyof typeof SHOTS)[] = [
  ...(Object.keys(SHOTS) as (keyof typeof SHOTS)[]),
  ...(['senseless', 'senseless', 'senseless', 'senseless', 'fragments'] as const),
];

/** Well-formed, with values that an agent has to look at twice. */
const request = (chance: Chance): Buffer => {
  const value = (): number =>
    chance.of([-1, 0, 1, 2, 3, 5, 8, 13, 20, 2 ** 31 - 1, -(2 ** 31), chance.below(40)]);
  const word = (): number => chance.of([0, 1, 2, 3, KVM_DEV_TYPE_VFIO, 2 ** 31, 2 ** 32 - 1]);
  return encodeRequest({
    op: chance.below(10) === 0 ? chance.below(65_536) : chance.of(Object.values(AGENT_OPS)),
    sequence: chance.below(2 ** 32),
    fd: value(),
    type: chance.below(2) === 0 ? KVM_DEV_TYPE_VFIO : word(),
    flags: chance.below(2) === 0 ? 0 : word(),
    attr: chance.of([0n, 1n, 2n, 2n ** 32n, 2n ** 64n - 1n]),
    value: value(),
  });
};

/** Descriptors of all kinds. */
class Ammunition implements Disposable {
  readonly all: Descriptor[];

  constructor() {
    const files = ['/dev/null', '/dev/zero', '/proc/self/maps', '/', '/dev/kvm'].map(
      (path) => new Descriptor(open(path, O_RDONLY), path),
    );
    this.all = [...files, ...pipe().map((fd) => new Descriptor(fd, 'pipe'))];
  }

  [Symbol.dispose](): void {
    for (const each of this.all) each[Symbol.dispose]();
  }
}
