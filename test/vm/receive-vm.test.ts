import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import {setMaxListeners} from 'node:events';
import {chmodSync, chownSync, mkdirSync, readlinkSync, symlinkSync, writeFileSync} from 'node:fs';
import {setTimeout as sleep} from 'node:timers/promises';
import {Failure} from '../../src/failure.js';
import {Deadline} from '../../src/linux/deadline.js';
import {Descriptor} from '../../src/linux/descriptor.js';
import {sameFile} from '../../src/linux/proc/kcmp.js';
import {Kvm, type Vm} from '../../src/kvm/system.js';
import {O_RDONLY, open} from '../../src/linux/libc.js';
import {MOST_DESCRIPTORS} from '../../src/linux/socket/socket-message.js';
import {UnixListener, type UnixSocket} from '../../src/linux/socket/unix-socket.js';
import {encodeHello} from '../../src/vm/agent-protocol.js';
import type {ReceivedVm} from '../../src/vm/receive-vm.js';
import {receiveVm, type VmSource} from '../../src/vm/receive-vm.js';
import {requireTrustedSocket} from '../../src/vm/socket-trust.js';
import {descriptors} from '../support/descriptors.js';
import {made} from '../support/made.js';
import {needs} from '../support/needs.js';
import {rounds} from '../support/pace.js';
import {failsWith, scratch, settles} from './vmm.js';

const late = (): Deadline => Deadline.after(10_000);
/** Time limit for peers that never finish. */
const SHORT = 100;

/** How often each kind of peer is met. */
const ROUNDS = rounds(300);

describe('receiving a VM', function () {
  let vm: Vm;
  let file: Descriptor;
  made(function () {
    needs(this, 'kvm');
    using kvm = Kvm.open();
    return (vm = kvm.createVm());
  });
  made(() => (file = new Descriptor(open('/dev/null', O_RDONLY))));

  /** A peer that treats whoever connects in one way. */
  const peer = (
    treat: (client: UnixSocket, signal: AbortSignal) => Promise<void>,
  ): AsyncDisposable & {address: string} => {
    const listener = UnixListener.listen(`@kvfio-peer-${process.pid}-${Math.random()}`);
    const ending = new AbortController();
    setMaxListeners(0, ending.signal);
    const treating = new Set<Promise<void>>();
    const serving = (async () => {
      for (;;) {
        const client = await listener.accept(ending.signal);
        const treated = treat(client, ending.signal)
          .catch(() => undefined)
          .finally(() => {
            client[Symbol.dispose]();
            treating.delete(treated);
          });
        treating.add(treated);
      }
    })().catch(() => undefined);
    return {
      address: listener.address,
      [Symbol.asyncDispose]: async () => {
        ending.abort();
        await serving;
        await Promise.all(treating);
        listener[Symbol.dispose]();
      },
    };
  };

  /** Waits for the client to leave. */
  const untilGone = async (client: UnixSocket, signal: AbortSignal, deadline = late()): Promise<void> => {
    for (;;) {
      using message = await client.receive(100, 0, deadline, signal);
      if (message.data.length === 0) return;
    }
  };

  const sends =
    (text: string, sent: () => Descriptor[] = () => []) =>
    async (client: UnixSocket, signal: AbortSignal): Promise<void> => {
      await client.send(Buffer.from(text), sent(), late());
      await untilGone(client, signal);
    };

  /** Peers, and what is said of each: code, exit code, why; or that the VM is received. */
  const peers: Record<string, {treat: Parameters<typeof peer>[0]; says: [string, number, RegExp] | null}> = {
    'sends only its descriptor': {treat: sends('\0', () => [vm]), says: null},
    'sends its descriptor among others': {treat: sends('x', () => [file, vm, file, vm]), says: null},
    'sends as many descriptors as there can be, the VM last': {
      treat: sends('x', () => [...Array.from({length: MOST_DESCRIPTORS - 1}, () => file), vm]),
      says: null,
    },
    'sends 300 descriptors in two messages': {
      treat: async (client, signal) => {
        await client.send(
          Buffer.from('x'),
          Array.from({length: MOST_DESCRIPTORS}, () => file),
          late(),
        );
        await sends('x', () => Array.from({length: 300 - MOST_DESCRIPTORS}, () => vm))(client, signal);
      },
      says: ['NOT_A_VM', 3, /sent \/dev\/null, \/dev\/null and 251 more/],
    },
    'sends text only': {
      treat: sends('{"QMP": 1}\r\n\u001b[31m'),
      says: ['VM_NOT_SENT', 3, /17 bytes and no descriptor \("{\\"QMP/],
    },
    'sends another kind of descriptor': {
      treat: sends('x', () => [file]),
      says: ['NOT_A_VM', 3, /sent \/dev\/null, and no/],
    },
    'closes at once': {treat: () => Promise.resolve(), says: ['VM_NOT_SENT', 3, /closed the connection/]},
    'sends nothing': {treat: untilGone, says: ['VM_SOCKET_SILENT', 124, /sent nothing within/]},
    trickles: {
      treat: async (client, signal) => {
        for (let gone = false; !gone;) {
          await client.send(Buffer.from('x'), [], late());
          gone = await untilGone(client, signal, Deadline.after(1000)).then(
            () => true,
            () => signal.aborted,
          );
        }
      },
      says: ['VM_NOT_SENT', 3, /1 byte and no descriptor/],
    },
  };

  const meet = async (
    address: string,
    says: [string, number, RegExp] | null,
    limit: number,
  ): Promise<void> => {
    if (says !== null) {
      await failsWith(receiveVm(address, {deadline: Deadline.after(limit)}), ...says);
      return;
    }
    using received = await receiveVm(address, {deadline: Deadline.after(limit)});
    assert.ok(sameFile(process.pid, received.vm.fd, process.pid, vm.fd));
  };

  for (const [what, {treat, says}] of Object.entries(peers)) {
    it(`${says === null ? 'takes the VM of' : `fails with ${says[1]} for`} a peer that ${what}`, async () => {
      await using other = peer(treat);
      const before = descriptors();
      const began = performance.now();
      await meet(other.address, says, SHORT * 3);
      assert.ok(performance.now() - began < 5000);
      await settles(() => descriptors().filter((line) => !before.includes(line)).length, 0);
    });

    it(`keeps nothing of many peers of which each ${what}`, async function () {
      this.timeout(600_000);
      await using other = peer(treat);
      const times = says?.[1] === 124 ? Math.min(ROUNDS, 1000) : ROUNDS;
      const round = (): Promise<void> => meet(other.address, says, says?.[1] === 124 ? 5 : 10_000);
      for (let warm = 0; warm < times / 3; warm += 1) await round();
      const before = {descriptors: descriptors().length, memory: residentKiB()};
      for (let each = 0; each < times; each += 1) await round();
      await settles(() => Math.max(0, descriptors().length - before.descriptors), 0);
      const grown = residentKiB() - before.memory;
      assert.ok(grown < 30_000, `memory grew by ${grown} KiB`);
    });
  }

  it('says who sent it, and that there is an agent only when it announces one', async () => {
    await using plain = peer(sends('kvfioVM', () => [vm]));
    await using agent = peer(sends(encodeHello({version: 3, vmFd: 11}).toString('latin1'), () => [vm]));
    using first = await receiveVm(plain.address, {deadline: late()});
    assert.deepEqual([first.agent, first.peer.pid, first.peer.uid], [null, process.pid, process.getuid?.()]);
    using second = await receiveVm(agent.address, {deadline: late()});
    assert.deepEqual(second.agent, {version: 3, vmFd: 11});
    assert.equal(readlinkSync(`/proc/self/fd/${second.vm.fd}`), 'anon_inode:kvm-vm');
  });

  it('fails when this process may open no more files, and keeps none', async () => {
    await using other = peer(sends('x', () => [file, file, vm]));
    const filler: Descriptor[] = [];
    const before = descriptors().length;
    try {
      for (;;) filler.push(new Descriptor(open('/dev/null', O_RDONLY)));
    } catch {
      // both ends of the connection, the wait's event, and one that comes
      for (const each of filler.splice(-4)) each[Symbol.dispose]();
    }
    try {
      await failsWith(
        receiveVm(other.address, {deadline: late()}),
        'VM_MESSAGE_TRUNCATED',
        5,
        /more descriptors than/,
      );
    } finally {
      for (const each of filler) each[Symbol.dispose]();
    }
    await settles(() => Math.max(0, descriptors().length - before), 0);
  });

  it('fails with 3 without a socket, 2 for another file or kind of socket', async () => {
    using folder = scratch();
    const at = (name: string, deadline = late()): Promise<ReceivedVm> =>
      receiveVm(folder.path(name), {deadline});
    await failsWith(at('none'), 'VM_SOCKET_NOT_CONNECTED', 3, /no such socket/);
    await failsWith(at('none/a'), 'VM_SOCKET_NOT_CONNECTED', 3, /no such socket/);
    writeFileSync(folder.path('file'), '');
    await failsWith(at('file'), 'NOT_A_SOCKET', 2, /not a socket/);
    await failsWith(at('file/a'), 'VM_SOCKET_NOT_CONNECTED', 3, /not a folder/);
    await failsWith(at('.'), 'NOT_A_SOCKET', 2, /not a socket/);
    await failsWith(at('a'.repeat(120)), 'VM_SOCKET_NOT_CONNECTED', 2, /107 bytes/);
    await failsWith(
      receiveVm('@kvfio-none', {deadline: late()}),
      'VM_SOCKET_NOT_CONNECTED',
      3,
      /Nobody listens/,
    );
  });

  it('waits for the socket when asked to, and no longer than the time limit', async () => {
    using folder = scratch();
    const address = folder.path('later');
    await failsWith(
      receiveVm(address, {deadline: Deadline.after(SHORT), wait: true}),
      'VM_SOCKET_TIMEOUT',
      124,
    );
    const receiving = receiveVm(address, {deadline: late(), wait: true});
    await sleep(SHORT);
    using listener = UnixListener.listen(address);
    using client = await listener.accept();
    await client.send(Buffer.from('x'), [vm], late());
    using received = await receiving;
    assert.equal(received.address, address);
  });

  it('fails with 124 when nobody accepts', async () => {
    using folder = scratch();
    using listener = UnixListener.listen(folder.path('full'), 0);
    const first = receiveVm(listener.address, {deadline: Deadline.after(SHORT * 5)});
    const second = receiveVm(listener.address, {deadline: Deadline.after(SHORT)});
    await failsWith(second, 'VM_SOCKET_TIMEOUT', 124, /accepts no connection/);
    await failsWith(first, 'VM_SOCKET_SILENT', 124);
  });

  it('ends when it is told to', async () => {
    await using silent = peer(untilGone);
    const ending = new AbortController();
    const receiving = receiveVm(silent.address, {deadline: late(), signal: ending.signal});
    setTimeout(() => {
      ending.abort(new Error('told to'));
    }, 20);
    await assert.rejects(receiving, /told to/);
  });

  it('trusts a stranger with descriptors only where no other user could have been first', async () => {
    using folder = scratch();
    const stranger = {pid: 1, uid: 4711, gid: 4711};
    const at = (address: string, uid: number): VmSource => ({
      address,
      peer: {...stranger, uid},
    });
    for (const trusted of [
      at('@name', 0),
      at('/tmp/sock', process.getuid?.() ?? 0),
      at(folder.path('sock'), 4711),
    ]) {
      requireTrustedSocket(trusted);
    }
    for (const address of ['@name', '/tmp/sock']) {
      await failsWith(
        () => {
          requireTrustedSocket(at(address, 4711));
        },
        'SOCKET_OF_STRANGER',
        5,
        /user 4711/,
      );
    }
  });

  it('trusts a stranger in no folder that another user can have made, or reached through one', function () {
    needs(this, 'root');
    using scratched = scratch();
    const root = scratched.path('.');
    const at = (name: string): string => `${root}/${name}`;
    const make = (name: string, uid: number, mode: number): void => {
      mkdirSync(at(name));
      chownSync(at(name), uid, uid);
      chmodSync(at(name), mode);
    };
    const link = (name: string, target: string, uid: number): void => {
      symlinkSync(target, at(name));
      spawnSync('chown', ['-h', String(uid), at(name)]);
    };
    make('shared', 0, 0o1777);
    make('shared/his', 4711, 0o755);
    make('shared/ours', 0, 0o755);
    make('shared/ours/his', 4711, 0o700);
    make('shared/group', 0, 0o770);
    make('shared/group/ours', 0, 0o755);
    make('his', 4711, 0o755);
    make('his/below', 4711, 0o755);
    make('other', 4712, 0o755);
    make('his/open', 4711, 0o777);
    link('link', 'his', 0);
    link('shared/link', '../his', 4711);
    link('shared/ourlink', at('his'), 0);
    link('round', 'round', 0);
    const trusted = [
      'his/s',
      'his/below/s',
      'shared/ours/his/s',
      'link/s',
      'shared/ourlink/s',
      'his/../his/./s',
    ];
    const refused = [
      'shared/s',
      'shared/his/s',
      'shared/group/ours/s',
      'shared/link/s',
      'shared/his/../ours/s',
      'shared/ours/../his/s',
      'other/s',
      'his/open/s',
      'round/s',
      'none/s',
    ];
    const answer = (name: string): string => {
      try {
        requireTrustedSocket({address: at(name), peer: {pid: 1, uid: 4711, gid: 4711}});
        return 'trusted';
      } catch (error) {
        return error instanceof Failure ? error.code : String(error);
      }
    };
    assert.deepEqual(
      trusted.filter((name) => answer(name) !== 'trusted'),
      [],
    );
    assert.deepEqual(
      refused.filter((name) => answer(name) !== 'SOCKET_OF_STRANGER'),
      [],
    );
  });
});

const residentKiB = (): number => {
  (globalThis as {gc?: () => void}).gc?.();
  return process.memoryUsage().rss / 1024;
};
