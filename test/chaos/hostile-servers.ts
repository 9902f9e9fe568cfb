import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {Failure} from '../../src/failure.js';
import {Deadline} from '../../src/linux/deadline.js';
import {Descriptor} from '../../src/linux/descriptor.js';
import {SyscallError} from '../../src/linux/errno.js';
import {Kvm, type Vm} from '../../src/kvm/system.js';
import {O_RDONLY, open} from '../../src/linux/libc.js';
import {UnixListener, type UnixSocket} from '../../src/linux/socket/unix-socket.js';
import {AgentClient} from '../../src/owner/agent/client.js';
import {AGENT_OPS, encodeHello, encodeReply} from '../../src/vm/agent-protocol.js';
import {receiveVm} from '../../src/vm/receive-vm.js';
import {descriptors} from '../support/descriptors.js';
import {settled} from '../vm/vmm.js';
import {endsProperly, kvfio} from './kvfio.js';
import {Chance, type Trial} from './trial.js';

export const trial: Trial = {
  what: 'hostile peers that kvfio asks for a VM',
  needs: ['kvm'],
  run: async (tally, {size, seed}) => {
    const messages = {small: 1000, medium: 2000, large: 20_000}[size];
    const commands = {small: 6, medium: 12, large: 200}[size];
    const chance = new Chance(seed + 2);
    using kvm = Kvm.open();
    using vm = kvm.createVm();
    using file = new Descriptor(open('/dev/null', O_RDONLY), '/dev/null');
    using listener = UnixListener.listen(join(tmpdir(), 'hostile.sock'));
    const outcomes = new Map<string, number>();
    await settled(() => descriptors().length);
    const before = descriptors();
    for (let sent = 0; sent < messages;) {
      await tally.round(async () => {
        const messagesOfOne = replies(chance, {vm, file});
        sent += messagesOfOne.length;
        tally.rounds += messagesOfOne.length - 1;
        const outcome = await session(listener, messagesOfOne, file, chance);
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      });
      if (tally.lost.length > 20) break;
    }
    await settled(() => descriptors().length);
    const left = descriptors().filter((line) => !before.includes(line));
    if (left.length > 0) tally.leaked.push(left.join(', '));

    const exits = new Map<number | null, number>();
    for (let round = 0; round < commands; round += 1) {
      await tally.round(async () => {
        const command = chance.of([['create', '--if-missing'], ['status'], ['detach', '--all']]);
        const started = kvfio([...command, '--json', '--vm-sock', listener.address, '--timeout', '1']);
        const serving = new AbortController();
        const serve = serveAll(listener, () => replies(chance, {vm, file}), serving.signal);
        const ending = await started;
        serving.abort(new SyscallError('accept', 125));
        await serve;
        exits.set(ending.exit, (exits.get(ending.exit) ?? 0) + 1);
        endsProperly(ending);
      });
    }
    const most = [...outcomes].sort(([, a], [, b]) => b - a).slice(0, 4);
    tally.detail = `${most.map(([code, count]) => `${code} ${count} x`).join(', ')} of ${outcomes.size} outcomes; exit codes of commands: ${[
      ...exits,
    ]
      .sort(([a], [b]) => Number(a) - Number(b))
      .map(([exit, count]) => `${exit ?? 'none'} ${count} x`)
      .join(', ')}`;
  },
};

interface Sent {
  bytes: Buffer;
  descriptors: Descriptor[];
}

/** A greeting and answers, some of them right so that more is asked, then damaged. */
const replies = (chance: Chance, {vm, file}: {vm: Vm; file: Descriptor}): Sent[] => {
  const hello: Sent = {
    bytes: encodeHello({version: chance.below(20) === 0 ? chance.below(2 ** 32) : 1, vmFd: chance.below(20)}),
    descriptors: [vm],
  };
  const answers = CALLS.slice(0, chance.below(CALLS.length + 1)).map(([op], index): Sent => {
    const held = Array.from({length: op === 'LIST' ? chance.below(4) : 0}, () => ({
      fd: chance.below(2 ** 31),
      kind: chance.of(['device', 'vmm-device', 'given'] as const),
      registered: chance.below(2) === 0,
      major: chance.below(2 ** 32),
      minor: chance.below(2 ** 32),
    }));
    const error = chance.below(4) === 0 ? chance.of([1, 12, 22, 24, 4711, 2 ** 31 - 1, -1, -12]) : 0;
    return {
      bytes: encodeReply({op: AGENT_OPS[op], sequence: index + 1, error, fd: chance.below(100)}, held),
      descriptors: op === 'TAKE' ? [file] : [],
    };
  });
  const all = [hello, ...answers];
  if (chance.below(8) > 0) damage(chance.of(all), chance, {vm, file});
  return all;
};

const damage = (sent: Sent, chance: Chance, {vm, file}: {vm: Vm; file: Descriptor}): void => {
  const damages: (() => void)[] = [
    () => {
      for (let flips = 1 + chance.below(4); flips > 0; flips -= 1)
        sent.bytes[chance.below(sent.bytes.length)] = chance.below(256);
    },
    () => (sent.bytes = sent.bytes.subarray(0, 1 + chance.below(sent.bytes.length))),
    () => (sent.bytes = chance.bytes(1 + chance.below(300))),
    () => (sent.bytes = Buffer.concat([sent.bytes, chance.bytes(1 + chance.below(100))])),
    () => (sent.bytes = Buffer.alloc(5000, 0x1b)),
    () => (sent.descriptors = []),
    () => (sent.descriptors = [file]),
    () => (sent.descriptors = [file, vm, file]),
    () => (sent.descriptors = Array.from({length: chance.below(254)}, () => file)),
    () => (sent.descriptors = Array.from({length: 253}, () => vm)),
  ];
  chance.of(damages)();
};

/** What is asked of an agent, in this order. */
const CALLS: [op: keyof typeof AGENT_OPS, ask: (agent: AgentClient, file: Descriptor) => unknown][] = [
  ['LIST', (agent) => agent.held()],
  ['CREATE_DEVICE', (agent) => agent.createDevice(agent.vmFd, 4)],
  ['HAS_ATTR', (agent) => agent.hasDeviceAttr(3, 1, 1)],
  ['GIVE', (agent, file) => agent.giveDescriptor(file)],
  [
    'TAKE',
    (agent) => {
      agent.takeDescriptor(3)[Symbol.dispose]();
    },
  ],
  [
    'SET_ATTR',
    (agent) => {
      agent.setDeviceAttr(3, 1, 1, 4);
    },
  ],
  [
    'CLOSE',
    (agent) => {
      agent.closeDescriptor(3);
    },
  ],
];

/** One kvfio of this process, and its peer. @returns what it made of that */
const session = async (
  listener: UnixListener,
  messages: Sent[],
  file: Descriptor,
  chance: Chance,
): Promise<string> => {
  const receiving = receiveVm(listener.address, {deadline: Deadline.after(10_000)});
  receiving.catch(() => undefined);
  const peer = await listener.accept();
  try {
    await sendAll(peer, messages, chance.below(4) === 0);
  } finally {
    peer[Symbol.dispose]();
  }
  let last = 'done';
  try {
    using received = await receiving;
    const agent = new AgentClient(received, process.pid, 1000);
    for (const [, ask] of CALLS) {
      try {
        ask(agent, file);
      } catch (error) {
        if (!(error instanceof SyscallError)) throw error;
        last = 'an error number';
      }
    }
    return last;
  } catch (error) {
    if (error instanceof Failure) return error.code;
    throw error;
  }
};

const sendAll = async (peer: UnixSocket, messages: Sent[], inPieces: boolean): Promise<void> => {
  try {
    for (const {bytes, descriptors} of messages) {
      const pieces = inPieces && bytes.length > 8 ? [bytes.subarray(0, 7), bytes.subarray(7)] : [bytes];
      for (const [index, piece] of pieces.entries())
        await peer.send(piece, index === 0 ? descriptors : [], Deadline.after(1000));
    }
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
  }
};

/** Greets everybody with something else, and leaves, until it is told to end. */
const serveAll = async (listener: UnixListener, next: () => Sent[], signal: AbortSignal): Promise<void> => {
  for (;;) {
    try {
      using peer = await listener.accept(signal);
      await sendAll(peer, next(), false);
    } catch (error) {
      if (signal.aborted) return;
      throw error;
    }
  }
};
