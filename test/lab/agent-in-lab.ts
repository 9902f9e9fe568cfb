/**
 * Runs in the lab: has the agent at a socket register the first VFIO group, through clients that come and leave, and
 * prints as JSON what was seen.
 */
import {readdirSync, readlinkSync, writeFileSync} from 'node:fs';
import {Deadline} from '../../src/linux/deadline.js';
import {
  KVM_DEV_TYPE_VFIO,
  KVM_DEV_VFIO_FILE,
  KVM_DEV_VFIO_FILE_ADD,
  KVM_DEV_VFIO_FILE_DEL,
} from '../../src/linux/ioctl.js';
import {VfioGroup} from '../../src/vfio/ioctls.js';
import {AgentClient} from '../../src/owner/agent/client.js';
import {AGENT_OPS, encodeRequest} from '../../src/vm/agent-protocol.js';
import {receiveVm} from '../../src/vm/receive-vm.js';
import {errnoOf} from '../support/errno-of.js';

const [, , socket = '', output = ''] = process.argv;
const node = `/dev/vfio/${readdirSync('/dev/vfio').find((name) => name !== 'vfio')}`;
const PATIENCE = 60_000;

const session = async (work: (agent: AgentClient) => void): Promise<void> => {
  using received = await receiveVm(socket, {deadline: Deadline.after(PATIENCE)});
  work(new AgentClient(received, received.peer.pid, PATIENCE));
};

const openGroup = (): string =>
  errnoOf(() => {
    VfioGroup.open(node)[Symbol.dispose]();
  });

/** The group is given back when the agent has noticed that a client left. */
const released = async (): Promise<string> => {
  for (let round = 0; round < 100 && openGroup() !== 'done'; round += 1)
    await new Promise((resolve) => setTimeout(resolve, 100));
  return openGroup();
};

const seen: [what: string, answer: unknown][] = [];
const see = (what: string, answer: unknown): void => void seen.push([what, answer]);

let device = -1;
let given = -1;
const set = (agent: AgentClient, attr: number): string =>
  errnoOf(() => {
    agent.setDeviceAttr(device, KVM_DEV_VFIO_FILE, attr, given);
  });
const registered = (agent: AgentClient): boolean[] =>
  agent.held().flatMap((held) => (held.kind === 'given' ? [held.registered] : []));

await session((agent) => {
  device = agent.createDevice(agent.vmFd, KVM_DEV_TYPE_VFIO);
  using group = VfioGroup.open(node);
  given = agent.giveDescriptor(group);
  see('ADD', set(agent, KVM_DEV_VFIO_FILE_ADD));
  see('second ADD', set(agent, KVM_DEV_VFIO_FILE_ADD));
});
await session((agent) => {
  see('held after the client left', registered(agent));
  see('open by others', openGroup());
  using taken = agent.takeDescriptor(given);
  see('taken', readlinkSync(`/proc/self/fd/${taken.fd}`) === node);
  see('DEL', set(agent, KVM_DEV_VFIO_FILE_DEL));
  see('second DEL', set(agent, KVM_DEV_VFIO_FILE_DEL));
  see('held after DEL', registered(agent));
});
see('open by others after DEL', await released());
{
  using received = await receiveVm(socket, {deadline: Deadline.after(PATIENCE)});
  const {connection} = received;
  const request = {
    op: AGENT_OPS.SET_ATTR,
    sequence: 1,
    fd: device,
    type: KVM_DEV_VFIO_FILE,
    flags: 0,
    value: -1,
  };
  const bytes = encodeRequest({...request, attr: BigInt(KVM_DEV_VFIO_FILE_ADD)});
  using group = VfioGroup.open(node);
  await connection.send(bytes, [group], Deadline.after(PATIENCE));
  using reply = await connection.receiveAll(32, 1, Deadline.after(PATIENCE));
  see('ADD in one message', reply.data.readInt32LE(12));
}
await session((agent) => {
  see('held after that', registered(agent));
  agent.closeDescriptor(device);
  see('held after the device was closed', registered(agent));
});
see('open by others after the device was closed', await released());
writeFileSync(output, JSON.stringify(Object.fromEntries(seen)));
