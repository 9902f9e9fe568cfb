import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {statSync} from 'node:fs';
import {constants} from 'node:os';
import {Deadline} from '../../../src/linux/deadline.js';
import {Descriptor} from '../../../src/linux/descriptor.js';
import {SyscallError} from '../../../src/linux/errno.js';
import {sameFile} from '../../../src/linux/proc/kcmp.js';
import {
  KVM_DEV_TYPE_VFIO,
  KVM_DEV_VFIO_FILE,
  KVM_DEV_VFIO_FILE_ADD,
  KVM_DEV_VFIO_FILE_DEL,
} from '../../../src/linux/ioctl.js';
import {O_RDONLY, open} from '../../../src/linux/libc.js';
import {Process} from '../../../src/linux/proc/process.js';
import type {UnixSocket} from '../../../src/linux/socket/unix-socket.js';
import {UnixListener} from '../../../src/linux/socket/unix-socket.js';
import {AgentClient} from '../../../src/owner/agent/client.js';
import {
  AGENT_OPS,
  MOST_HELD,
  encodeHello,
  encodeReply,
  encodeRequest,
} from '../../../src/vm/agent-protocol.js';
import {receiveVm, type ReceivedVm} from '../../../src/vm/receive-vm.js';
import {made} from '../../support/made.js';
import {needs} from '../../support/needs.js';
import {rounds} from '../../support/pace.js';
import {
  compile,
  countDescriptors,
  failsWith,
  scratch,
  settled,
  settles,
  startKvfioVm,
  startVmm,
  type Vmm,
} from '../../vm/vmm.js';

const late = (): Deadline => Deadline.after(10_000);
const devNull = (): Descriptor => new Descriptor(open('/dev/null', O_RDONLY));
const NULL_DEVICE = {major: 1, minor: 3};

/** The most significant errors of the kvm-vfio device are the kernel's, whoever asks it. */
const agents = {
  'kvfio vm': async (socket: string): Promise<Vmm> => startKvfioVm(['--sock', socket]),
  'the example in C': async (socket: string, folder: (name: string) => string): Promise<Vmm> => {
    compile('example-vmm.c', folder('example-vmm'));
    return startVmm([folder('example-vmm'), socket]);
  },
};

for (const [name, launch] of Object.entries(agents)) {
  describe(`the agent of ${name}`, function () {
    this.timeout(120_000);
    let folder: ReturnType<typeof scratch>;
    let vmm: Vmm;
    let socket: string;
    /** Descriptors of the VMM while nobody is connected and nothing held. */
    let idle: number;
    made(function () {
      needs(this, 'build', 'cc', 'kvm');
      return (folder = scratch());
    });
    made(async () => {
      socket = folder.path('vm.sock');
      return (vmm = await launch(socket, folder.path));
    });
    before(async () => {
      (await connect())[Symbol.dispose]();
      idle = await settled(open_);
    });

    /** A connection, and the agent at the other end. */
    const connect = async (): Promise<Disposable & {received: ReceivedVm; agent: AgentClient}> => {
      const received = await receiveVm(socket, {deadline: late()});
      return {
        received,
        agent: new AgentClient(received),
        [Symbol.dispose]: () => {
          received[Symbol.dispose]();
        },
      };
    };

    const open_ = (): number => countDescriptors(vmm.pid);

    it('announces itself with the number of the VM in its process', async () => {
      using one = await connect();
      assert.equal(one.agent.pid, vmm.pid);
      assert.ok(sameFile(process.pid, one.received.vm.fd, vmm.pid, one.agent.vmFd));
      assert.match(vmm.line, new RegExp(`\\b${vmm.pid}\\b.*\\b${one.agent.vmFd}\\b`));
      assert.throws(() => one.agent.createDevice(one.agent.vmFd + 1, KVM_DEV_TYPE_VFIO), {code: 'EBADF'});
    });

    it('creates one kvm-vfio device, which stays when the client leaves, until it is closed', async () => {
      let device: number;
      {
        using one = await connect();
        device = one.agent.createDevice(one.agent.vmFd, KVM_DEV_TYPE_VFIO);
        assert.equal(new Process(vmm.pid).descriptor(device), 'anon_inode:kvm-vfio');
        assert.throws(() => one.agent.createDevice(one.agent.vmFd, KVM_DEV_TYPE_VFIO), {
          message: 'ioctl(KVM_CREATE_DEVICE): EBUSY',
        });
      }
      await settles(open_, idle + 1);
      using two = await connect();
      assert.deepEqual(two.agent.held(), [
        {fd: device, kind: 'device', registered: false, major: 0, minor: 0},
      ]);
      assert.equal(two.agent.hasDeviceAttr(device, KVM_DEV_VFIO_FILE, KVM_DEV_VFIO_FILE_ADD), true);
      two.agent.closeDescriptor(device);
      assert.deepEqual(two.agent.held(), []);
    });

    it('answers what the kernel answers', async () => {
      using one = await connect();
      const {agent} = one;
      using file = devNull();
      const device = agent.createDevice(agent.vmFd, KVM_DEV_TYPE_VFIO);
      const given = agent.giveDescriptor(file);
      const set = (group: number, attr: number, fd: number) => (): void => {
        agent.setDeviceAttr(device, group, attr, fd);
      };
      const refusal = (code: string): {message: string} => ({message: `ioctl(KVM_SET_DEVICE_ATTR): ${code}`});
      assert.throws(set(KVM_DEV_VFIO_FILE, KVM_DEV_VFIO_FILE_ADD, given), refusal('EINVAL'));
      assert.throws(set(KVM_DEV_VFIO_FILE, KVM_DEV_VFIO_FILE_DEL, given), refusal('ENOENT'));
      assert.throws(set(KVM_DEV_VFIO_FILE, KVM_DEV_VFIO_FILE_ADD, 9999), refusal('EBADF'));
      assert.throws(set(KVM_DEV_VFIO_FILE, KVM_DEV_VFIO_FILE_DEL, -1), refusal('EBADF'));
      assert.throws(set(KVM_DEV_VFIO_FILE, 0, given), refusal('ENXIO'));
      assert.throws(set(2, 1, given), refusal('ENXIO'));
      assert.throws(set(KVM_DEV_VFIO_FILE, 2 ** 52, given), refusal('ENXIO'));
      for (const [group, attr, has] of [
        [1, 1, true],
        [1, 2, true],
        [1, 0, false],
        [2, 0, false],
        [1, 2 ** 52, false],
      ] as const) {
        assert.equal(agent.hasDeviceAttr(device, group, attr), has);
      }
      assert.throws(() => agent.createDevice(agent.vmFd, 1), {message: 'ioctl(KVM_CREATE_DEVICE): EPERM'});
      agent.closeDescriptor(given);
      agent.closeDescriptor(device);
    });

    it('is not taken for having refused what kvfio could not ask it for', async () => {
      using one = await connect();
      Object.assign(one.received.connection, {
        receiveAllNow: () => {
          throw new SyscallError('poll', constants.errno.ENOMEM);
        },
      });
      const asked = (): unknown => one.agent.held();
      await failsWith(asked, 'AGENT_CUT_OFF', 6, /ENOMEM to poll of kvfio itself/);
      await failsWith(asked, 'AGENT_CUT_OFF', 6);
    });

    it('takes back what was given and is not registered when the client leaves', async () => {
      {
        using one = await connect();
        using file = devNull();
        const given = one.agent.giveDescriptor(file);
        assert.ok(sameFile(process.pid, file.fd, vmm.pid, given));
        assert.deepEqual(one.agent.held(), [{fd: given, kind: 'given', registered: false, ...NULL_DEVICE}]);
        using taken = one.agent.takeDescriptor(given);
        assert.ok(sameFile(process.pid, file.fd, process.pid, taken.fd));
      }
      await settles(open_, idle);
    });

    it('touches no descriptor that it does not hold', async () => {
      using one = await connect();
      const {agent} = one;
      for (const fd of [0, 1, agent.vmFd, -1, 9999]) {
        assert.throws(
          () => {
            agent.closeDescriptor(fd);
          },
          {code: 'EBADF'},
        );
        assert.throws(() => agent.takeDescriptor(fd), {code: 'EBADF'});
        assert.throws(() => agent.hasDeviceAttr(fd, 1, 1), {code: 'EBADF'});
        assert.throws(
          () => {
            agent.setDeviceAttr(fd, 1, 1, 0);
          },
          {code: 'EBADF'},
        );
      }
      assert.equal(new Process(vmm.pid).descriptor(agent.vmFd), 'anon_inode:kvm-vm');
    });

    it(`holds ${MOST_HELD} descriptors and no more`, async () => {
      {
        using one = await connect();
        using file = devNull();
        for (let each = 0; each < MOST_HELD; each += 1) one.agent.giveDescriptor(file);
        assert.throws(() => one.agent.giveDescriptor(file), {code: 'ENOSPC'});
        assert.throws(() => one.agent.createDevice(one.agent.vmFd, KVM_DEV_TYPE_VFIO), {code: 'ENOSPC'});
        assert.equal(one.agent.held().length, MOST_HELD);
      }
      await settles(open_, idle);
    });

    it('serves several clients at once', async () => {
      const clients = await Promise.all(Array.from({length: 6}, connect));
      const device = clients[0]?.agent.createDevice(clients[0].agent.vmFd, KVM_DEV_TYPE_VFIO) ?? -1;
      for (const {agent} of clients) assert.equal(agent.hasDeviceAttr(device, 1, 1), true);
      clients[5]?.agent.closeDescriptor(device);
      for (const {agent} of clients) assert.deepEqual(agent.held(), []);
      for (const client of clients) client[Symbol.dispose]();
    });

    const BASE = {op: AGENT_OPS.LIST, sequence: 1, fd: -1, type: 0, flags: 0, attr: 0n, value: -1};
    const bent = (offset: number, value: number): Buffer => {
      const bytes = encodeRequest(BASE);
      bytes.writeUInt32LE(value, offset);
      return bytes;
    };
    const hostile: Record<string, (connection: UnixSocket, file: Descriptor) => Promise<unknown>> = {
      'closes at once': () => Promise.resolve(),
      'sends garbage': (connection) => connection.send(Buffer.alloc(5000, 0xa5), [], late()),
      'sends a request that claims to be huge': (connection) =>
        connection.send(bent(0, 0xffff_ffff), [], late()),
      'speaks another version': (connection) => connection.send(bent(4, 99), [], late()),
      'uses what is reserved': (connection) => connection.send(bent(36, 1), [], late()),
      'sends half a request and leaves': (connection) =>
        connection.send(encodeRequest(BASE).subarray(0, 20), [], late()),
      'sends the other end of its connection with half a request': (connection) =>
        connection.send(encodeRequest(BASE).subarray(0, 20), [connection], late()),
      'sends descriptors with half a request and leaves': (connection, file) =>
        connection.send(encodeRequest(BASE).subarray(0, 20), [file], late()),
      'sends too many descriptors': (connection, file) =>
        connection.send(
          encodeRequest(BASE),
          Array.from({length: 253}, () => file),
          late(),
        ),
      'sends a descriptor with each byte': async (connection, file) => {
        for (const byte of encodeRequest(BASE)) await connection.send(Buffer.from([byte]), [file], late());
      },
      'sends a descriptor that is not wanted': (connection, file) =>
        connection.send(encodeRequest(BASE), [file], late()),
      'gives without a descriptor': (connection) =>
        connection.send(encodeRequest({...BASE, op: AGENT_OPS.GIVE}), [], late()),
      'asks for what there is not': (connection) =>
        connection.send(encodeRequest({...BASE, op: 4711}), [], late()),
      'asks without end and never reads': async (connection) => {
        const many = Buffer.concat(Array.from({length: 500}, () => encodeRequest(BASE)));
        for (let round = 0; round < rounds(100); round += 1)
          await connection.send(many, [], Deadline.after(50));
      },
      'gives the agent its own connection': async (connection) => {
        await connection.send(encodeRequest({...BASE, op: AGENT_OPS.GIVE}), [connection], late());
      },
    };
    for (const [what, attack] of Object.entries(hostile)) {
      it(`is whole after a client that ${what}`, async () => {
        using file = devNull();
        {
          using received = await receiveVm(socket, {deadline: late()});
          await attack(received.connection, file).catch((error: unknown) => {
            assert.match(String(error), /EPIPE|ECONNRESET|ETIMEDOUT/);
          });
        }
        await settles(open_, idle);
        using one = await connect();
        assert.deepEqual(one.agent.held(), []);
      });
    }

    it('answers each of what it refuses', async () => {
      using file = devNull();
      const answers: Record<string, [Buffer, Descriptor[], number]> = {
        'another version': [bent(4, 99), [], 71],
        'an unknown request': [encodeRequest({...BASE, op: 4711}), [], 38],
        'a gift without a descriptor': [encodeRequest({...BASE, op: AGENT_OPS.GIVE}), [], 22],
        'an unwanted descriptor': [encodeRequest(BASE), [file], 22],
      };
      for (const [what, [bytes, sent, errno]] of Object.entries(answers)) {
        using received = await receiveVm(socket, {deadline: late()});
        await received.connection.send(bytes, sent, late());
        using reply = await received.connection.receiveAll(32, 1, late());
        assert.equal(reply.data.readInt32LE(12), errno, what);
        assert.equal(reply.data.readUInt32LE(8), 1, what);
      }
    });

    it('has as many descriptors as before after clients that were killed at random moments', async function () {
      this.timeout(300_000);
      compile(`${import.meta.dirname}/doomed-client.c`, folder.path('doomed-client'));
      // a device stays by design, so it is there from the beginning
      using one = await connect();
      const device = one.agent.createDevice(one.agent.vmFd, KVM_DEV_TYPE_VFIO);
      one[Symbol.dispose]();
      for (let round = 0; round < rounds(1000); round += 1) {
        const client = spawn(folder.path('doomed-client'), [socket, String(device)], {stdio: 'ignore'});
        const gone = once(client, 'exit');
        await once(client, 'spawn');
        const moment = performance.now();
        const life = Math.random() * 4;
        while (performance.now() - moment < life) await new Promise(setImmediate);
        client.kill('SIGKILL');
        const [code] = (await gone) as [number | null];
        assert.equal(code, null, 'it would go on for ever');
      }
      await settles(open_, idle + 1);
      using after = await connect();
      assert.deepEqual(
        after.agent.held().map(({kind}) => kind),
        ['device'],
      );
      after.agent.closeDescriptor(device);
    });

    it('ends well when it is told to, and its socket is gone', async () => {
      assert.equal(await vmm.end(), 0);
      assert.equal(statSync(socket, {throwIfNoEntry: false}), undefined);
    });
  });
}

describe('a client of an agent', () => {
  /** Connects a client to an agent that treats its first request in one way. */
  const against = async (
    treat: (connection: UnixSocket) => Promise<void>,
    work: (agent: AgentClient) => unknown,
    says: [string, number, RegExp],
  ): Promise<void> => {
    const {Kvm} = await import('../../../src/kvm/system.js');
    using kvm = Kvm.open();
    using vm = kvm.createVm();
    using listener = UnixListener.listen(`@kvfio-agent-${process.pid}`);
    const receiving = receiveVm(listener.address, {deadline: late()});
    using server = await listener.accept();
    await server.send(encodeHello({version: 1, vmFd: 5}), [vm], late());
    using received = await receiving;
    await treat(server);
    using agent = new AgentClient(received, process.pid, 100);
    await failsWith(() => work(agent), ...says);
    // and after that for good
    await failsWith(() => agent.held(), says[0], says[1]);
    using message = await server.receiveAll(1000, 1, late());
    assert.ok(message.data.length <= 40, 'the connection is closed');
  };

  before(function () {
    needs(this, 'kvm');
  });

  const reply = (fields: Partial<Parameters<typeof encodeReply>[0]>): Buffer =>
    encodeReply({op: AGENT_OPS.CREATE_DEVICE, sequence: 1, error: 0, fd: 7, ...fields}, []);
  const create = (agent: AgentClient): number => agent.createDevice(5, KVM_DEV_TYPE_VFIO);
  const sends = (bytes: Buffer) => (server: UnixSocket) => server.send(bytes, [], late());
  const longer = reply({});
  longer.writeUInt32LE(1, 20);

  it('fails with 124 when the agent is silent, also in the middle of an answer', async () => {
    await against(() => Promise.resolve(), create, ['AGENT_SILENT', 124, /within 0.1 s/]);
    await against(sends(reply({}).subarray(0, 31)), create, ['AGENT_SILENT', 124, /within 0.1 s/]);
  });

  it('fails with 124 when the answer comes byte by byte for longer than one may take', async () => {
    let trickling: Promise<void> | undefined;
    const trickles = (server: UnixSocket): Promise<void> => {
      // from another process: this one waits for the answer
      const octal = [...reply({})].map((byte) => `\\${byte.toString(8).padStart(3, '0')}`);
      const program = 'for byte; do printf "$byte" || exit; sleep 0.05; done';
      const child = spawn('sh', ['-c', program, 'sh', ...octal], {
        stdio: ['ignore', server.fd, 'ignore'],
      });
      trickling = once(child, 'exit').then(() => undefined);
      return once(child, 'spawn').then(() => undefined);
    };
    await against(trickles, create, ['AGENT_SILENT', 124, /within 0.1 s/]);
    await trickling;
  });

  it('fails when the answer is not one to its request', async () => {
    for (const bytes of [reply({sequence: 2}), reply({op: 3}), Buffer.alloc(32), longer]) {
      await against(sends(bytes), create, ['AGENT_PROTOCOL', 5, /version 1/]);
    }
    const list = encodeReply({op: AGENT_OPS.LIST, sequence: 1, error: 0, fd: -1}, [
      {fd: 1, kind: 'given', registered: false, major: 0, minor: 0},
    ]);
    list.writeUInt16LE(99, 36);
    await against(sends(list), (agent) => agent.held(), ['AGENT_PROTOCOL', 5, /unknown kind/]);
    for (const error of [-1, 4096])
      await against(sends(reply({op: AGENT_OPS.LIST, error})), (agent) => agent.held(), [
        'AGENT_PROTOCOL',
        5,
        /which is none/,
      ]);
    await against(sends(reply({op: AGENT_OPS.LIST, error: 12})), (agent) => agent.held(), [
      'AGENT_REFUSED',
      6,
      /ENOMEM/,
    ]);
    await against(sends(reply({op: AGENT_OPS.TAKE})), (agent) => agent.takeDescriptor(1), [
      'AGENT_PROTOCOL',
      5,
      /no descriptor came/,
    ]);
  });
});
