import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import {existsSync, lstatSync, readlinkSync, renameSync, statSync, writeFileSync} from 'node:fs';
import {Deadline} from '../../../src/linux/deadline.js';
import {Descriptor} from '../../../src/linux/descriptor.js';
import {O_RDONLY, open} from '../../../src/linux/libc.js';
import {socketAddress} from '../../../src/linux/socket/socket-address.js';
import {MOST_DESCRIPTORS} from '../../../src/linux/socket/socket-message.js';
import {UnixListener, UnixSocket} from '../../../src/linux/socket/unix-socket.js';
import {descriptors} from '../../support/descriptors.js';
import {scratch, settles} from '../../vm/vmm.js';

const SOON = 30;
const LATE = 10_000;
const soon = (): Deadline => Deadline.after(SOON);
const late = (): Deadline => Deadline.after(LATE);
const devNull = (): Descriptor => new Descriptor(open('/dev/null', O_RDONLY));

/** Both ends of a connection. */
const pair = async (): Promise<Disposable & {here: UnixSocket; there: UnixSocket}> => {
  using listener = UnixListener.listen(`@kvfio-test-${process.pid}-${Math.random()}`);
  const here = await UnixSocket.connect(listener.address, late());
  const there = await listener.accept();
  return {
    here,
    there,
    [Symbol.dispose]: () => {
      here[Symbol.dispose]();
      there[Symbol.dispose]();
    },
  };
};

describe('a unix socket', () => {
  let before: string[];
  beforeEach(() => (before = descriptors()));
  afterEach(async () => {
    // the background poll ends a moment after the last wait
    await settles(() => descriptors().filter((line) => !before.includes(line)).length, 0);
  });

  it('says who is at the other end', async () => {
    using both = await pair();
    const self = {pid: process.pid, uid: process.getuid?.(), gid: process.getgid?.()};
    assert.deepEqual(both.here.peer(), self);
    assert.deepEqual(both.there.peer(), self);
  });

  it('carries bytes and descriptors, which are closed on exec and with the message', async () => {
    using both = await pair();
    using file = devNull();
    const receiving = both.here.receive(100, 10, late());
    await both.there.send(Buffer.from('text'), [file, file], late());
    const message = await receiving;
    assert.equal(message.data.toString(), 'text');
    assert.equal(message.truncated, false);
    assert.deepEqual(
      message.descriptors.map(({fd}) => readlinkSync(`/proc/self/fd/${fd}`)),
      ['/dev/null', '/dev/null'],
    );
    const fds = message.descriptors.map(({fd}) => fd);
    const inherited = spawnSync('ls', [...fds.map((fd) => `/proc/self/fd/${fd}`)], {encoding: 'utf8'});
    assert.equal(inherited.stdout, '');
    message[Symbol.dispose]();
    for (const fd of fds) assert.equal(existsSync(`/proc/self/fd/${fd}`), false);
  });

  it('leaves a descriptor that is taken to whoever took it', async () => {
    using both = await pair();
    using file = devNull();
    await both.there.send(Buffer.from('x'), [file, file], late());
    let taken: Descriptor | undefined;
    {
      using message = await both.here.receive(1, 10, late());
      const [first] = message.descriptors;
      assert.ok(first !== undefined);
      taken = message.take(first);
      assert.equal(message.descriptors.length, 1);
      assert.throws(() => message.take(first), /no longer/);
    }
    assert.equal(readlinkSync(`/proc/self/fd/${taken.fd}`), '/dev/null');
    taken[Symbol.dispose]();
  });

  it('receives as many descriptors as the kernel passes at once', async () => {
    using both = await pair();
    using file = devNull();
    const many = Array.from({length: MOST_DESCRIPTORS}, () => file);
    await both.there.send(Buffer.from('x'), many, late());
    using message = await both.here.receive(1, MOST_DESCRIPTORS, late());
    assert.deepEqual([message.descriptors.length, message.truncated], [MOST_DESCRIPTORS, false]);
    await assert.rejects(both.there.send(Buffer.from('x'), [...many, file], late()), {code: 'EINVAL'});
  });

  for (const room of [0, 1, 2, 3]) {
    it(`says that descriptors were dropped when there was room for ${room} only`, async () => {
      using both = await pair();
      using file = devNull();
      await both.there.send(Buffer.from('x'), [file, file, file, file], late());
      using message = await both.here.receive(1, room, late());
      assert.deepEqual([message.descriptors.length, message.truncated], [room, true]);
    });
  }

  it('carries more than fits into its buffer, in order', async () => {
    using both = await pair();
    const bytes = Buffer.from(Uint8Array.from({length: 3_000_000}, (_, index) => index % 251));
    const sending = both.there.send(bytes, [], late());
    using message = await both.here.receiveAll(bytes.length, 0, late());
    await sending;
    assert.ok(message.data.equals(bytes));
  });

  it('receives all of what comes in pieces, and what there was when the peer closes', async () => {
    using both = await pair();
    using file = devNull();
    const receiving = both.here.receiveAll(4, 1, late());
    for (const piece of ['a', 'b', 'c', 'd']) await both.there.send(Buffer.from(piece), [file], late());
    {
      using message = await receiving;
      assert.deepEqual([message.data.toString(), message.descriptors.length], ['abcd', 4]);
    }
    await both.there.send(Buffer.from('ef'), [file], late());
    both.there[Symbol.dispose]();
    using message = both.here.receiveAllNow(4, 1, late());
    assert.deepEqual([message.data.toString(), message.descriptors.length], ['ef', 1]);
  });

  it('closes what came with the beginning of something that never ended', async () => {
    using both = await pair();
    using file = devNull();
    await both.there.send(Buffer.from('ab'), [file], late());
    await assert.rejects(both.here.receiveAll(4, 1, soon()), {code: 'ETIMEDOUT'});
    await both.there.send(Buffer.from('ab'), [file], late());
    assert.throws(() => both.here.receiveAllNow(4, 1, soon()), {code: 'ETIMEDOUT'});
  });

  it('gives up at the deadline, and when it is told to', async () => {
    using both = await pair();
    await assert.rejects(both.here.receive(1, 0, soon()), {code: 'ETIMEDOUT'});
    assert.throws(() => both.here.receiveAllNow(1, 0, soon()), {code: 'ETIMEDOUT'});
    const full = Buffer.alloc(10_000_000);
    await assert.rejects(both.here.send(full, [], soon()), {code: 'ETIMEDOUT'});
    assert.throws(
      () => {
        both.here.sendNow(full, [], soon());
      },
      {code: 'ETIMEDOUT'},
    );
    const reason = new Error('told to');
    await assert.rejects(both.here.receive(1, 0, late(), AbortSignal.abort(reason)), reason);
    const abort = new AbortController();
    const receiving = both.here.receive(1, 0, late(), abort.signal);
    abort.abort(reason);
    await assert.rejects(receiving, reason);
  });

  it('lets many wait at once, each until its own deadline', async () => {
    const pairs = await Promise.all(Array.from({length: 40}, pair));
    const order: number[] = [];
    const waiting = pairs.map(async ({here}, index) => {
      const deadline = index % 2 === 0 ? late() : Deadline.after(20 + index);
      try {
        using message = await here.receive(1, 0, deadline);
        order.push(message.data.readUInt8());
        return 'received';
      } catch {
        return 'late';
      }
    });
    await new Promise((resolve) => setTimeout(resolve, 200));
    for (const [index, {there}] of pairs.entries()) {
      if (index % 2 === 0) await there.send(Buffer.from([index]), [], late());
    }
    const outcomes = await Promise.all(waiting);
    assert.deepEqual(
      outcomes,
      pairs.map((_, index) => (index % 2 === 0 ? 'received' : 'late')),
    );
    assert.equal(order.length, 20);
    for (const each of pairs) each[Symbol.dispose]();
  });

  it('does not keep Node from other work while it waits', async () => {
    using both = await pair();
    let turns = 0;
    const timer = setInterval(() => (turns += 1), 1);
    await assert.rejects(both.here.receive(1, 0, Deadline.after(100)), {code: 'ETIMEDOUT'});
    clearInterval(timer);
    assert.ok(turns > 5, `${turns} turns`);
  });

  it('does not keep the process from ending while it waits', () => {
    const module = new URL('../../../src/linux/socket/', import.meta.url).href;
    const {status, signal} = spawnSync(
      process.execPath,
      [
        '--import',
        'tsx',
        '--input-type=module',
        '-e',
        `const {UnixListener} = await import('${module}unix-socket.ts');
         void UnixListener.listen('@kvfio-exit-${process.pid}').accept();
         setTimeout(() => process.exit(7), 50);`,
      ],
      {timeout: 60_000},
    );
    assert.deepEqual([status, signal], [7, null]);
  });

  it('tells that the peer is gone', async () => {
    using both = await pair();
    both.there[Symbol.dispose]();
    using message = await both.here.receive(1, 0, late());
    assert.equal(message.data.length, 0);
    await assert.rejects(both.here.send(Buffer.from('x'), [], late()), {code: 'EPIPE'});
  });
});

describe('a listening unix socket', () => {
  it('has mode 0600 whatever the umask, and takes its file along', () => {
    using folder = scratch();
    for (const umask of [0o000, 0o022, 0o077]) {
      const old = process.umask(umask);
      try {
        using listener = UnixListener.listen(folder.path('a'));
        assert.equal(statSync(listener.address).mode & 0o777, 0o600);
      } finally {
        process.umask(old);
      }
      assert.equal(existsSync(folder.path('a')), false);
    }
  });

  it('refuses to replace one that is alive, by path and by abstract name', async () => {
    using folder = scratch();
    for (const address of [folder.path('a'), `@kvfio-alive-${process.pid}`]) {
      using listener = UnixListener.listen(address);
      assert.throws(() => UnixListener.listen(address), {code: 'EADDRINUSE'});
      using connection = await UnixSocket.connect(address, late());
      assert.ok(connection.fd > 0 && listener.fd > 0);
    }
  });

  it('refuses one whose queue is full', async () => {
    using folder = scratch();
    using listener = UnixListener.listen(folder.path('a'), 0);
    using connection = await UnixSocket.connect(listener.address, late());
    await assert.rejects(UnixSocket.connect(listener.address, soon()), {code: 'ETIMEDOUT'});
    assert.throws(() => UnixListener.listen(listener.address), {code: 'EADDRINUSE'});
    assert.ok(connection.fd > 0);
  });

  it('replaces a dead one and no other kind of file', () => {
    using folder = scratch();
    const path = folder.path('a');
    const dead = UnixListener.listen(path);
    renameSync(path, folder.path('b')); // closing it does not find its file there
    dead[Symbol.dispose]();
    renameSync(folder.path('b'), path);
    {
      using listener = UnixListener.listen(path);
      assert.ok(lstatSync(path).isSocket() && listener.fd > 0);
    }
    writeFileSync(path, 'precious');
    assert.throws(() => UnixListener.listen(path), {code: 'ENOTSOCK'});
    assert.equal(statSync(path).size, 8);
  });

  it('leaves a file alone that has taken its place', () => {
    using folder = scratch();
    const path = folder.path('a');
    const first = UnixListener.listen(path);
    renameSync(path, folder.path('b'));
    using second = UnixListener.listen(path);
    first[Symbol.dispose]();
    assert.equal(existsSync(path) && second.fd > 0, true);
  });
});

describe('a socket address', () => {
  it('is a path that ends in a NUL, or an abstract name that begins with one', () => {
    assert.deepEqual(socketAddress('/a', 'bind'), Buffer.from('\x01\x00/a\0', 'latin1'));
    assert.deepEqual(socketAddress('@a', 'bind'), Buffer.from('\x01\x00\0a', 'latin1'));
  });

  for (const [address, code] of [
    ['', 'EINVAL'],
    ['@', 'EINVAL'],
    ['/a\0b', 'EINVAL'],
    [`/${'a'.repeat(107)}`, 'ENAMETOOLONG'],
    ['ä'.repeat(54), 'ENAMETOOLONG'],
  ] as const) {
    it(`cannot be ${JSON.stringify(address.slice(0, 8))} (${address.length} characters)`, () => {
      assert.throws(() => socketAddress(address, 'connect'), {code, path: address});
    });
  }

  it('may have 107 bytes', () => {
    assert.equal(socketAddress(`/${'a'.repeat(106)}`, 'bind').length, 110);
  });
});
