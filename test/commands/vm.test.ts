import assert from 'node:assert/strict';
import {existsSync, mkdirSync, statSync} from 'node:fs';
import type {VmDocument} from '../../src/commands/vm.js';
import {Deadline} from '../../src/linux/deadline.js';
import {Process} from '../../src/linux/proc/process.js';
import {receiveVm} from '../../src/vm/receive-vm.js';
import {madeForEach} from '../support/made.js';
import {needs} from '../support/needs.js';
import {start} from '../support/run.js';
import {documentOf} from '../support/schema.js';
import {failsWith, scratch, startKvfioVm} from '../vm/vmm.js';

/** What it says when it ends: each document is on a line of its own. */
const last = (stdout: string): VmDocument =>
  documentOf<VmDocument>(stdout.trimEnd().split('\n').at(-1) ?? '', 'vm');

const late = (): Deadline => Deadline.after(10_000);

describe('kvfio vm', function () {
  this.timeout(60_000);
  let folder: ReturnType<typeof scratch>;
  let socket: string;
  before(function () {
    needs(this, 'build', 'kvm');
  });
  madeForEach(() => {
    folder = scratch();
    socket = folder.path('vm.sock');
    return folder;
  });

  it('says in one line where it is, and ends with 0 and without its socket when it is told to', async () => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      await using vm = await startKvfioVm(['--sock', socket]);
      const [, pid, fd] = /^VM of process (\d+), descriptor (\d+), at \S+$/.exec(vm.line) ?? [];
      assert.equal(Number(pid), vm.pid);
      assert.equal(new Process(vm.pid).descriptor(Number(fd)), 'anon_inode:kvm-vm');
      assert.equal(statSync(socket).mode & 0o777, 0o600);
      assert.equal(await vm.end(signal), 0);
      assert.equal(existsSync(socket), false);
      assert.match(vm.output().stdout, /^VM of process.*\nended after [\d.]+ s and 0 clients\n$/);
      assert.equal(vm.output().stderr, '');
    }
  });

  it('ends with clients that are connected', async () => {
    await using vm = await startKvfioVm(['--sock', socket]);
    using one = await receiveVm(socket, {deadline: late()});
    using two = await receiveVm(socket, {deadline: late()});
    assert.equal(await vm.end(), 0);
    assert.match(vm.output().stdout, /\nended after [\d.]+ s and 2 clients\n/);
    assert.ok(one.vm.fd !== two.vm.fd);
  });

  it('prints a document at once, for a script that waits for it, and one when it ends', async () => {
    await using vm = await startKvfioVm(['--sock', `@kvfio-test-${process.pid}`, '--json']);
    const ready = documentOf<VmDocument>(vm.line, 'vm');
    assert.deepEqual([ready.state, ready.pid, ready.seconds], ['ready', vm.pid, 0]);
    assert.equal(await vm.end(), 0);
    assert.match(vm.output().stderr, /^kvfio: VM of process \d+/);
    const document = last(vm.output().stdout);
    assert.ok(document.seconds > 0);
    assert.deepEqual(
      {...document, fd: 0, vmFd: 0, seconds: 0},
      {
        schemaVersion: 1,
        state: 'ended',
        socket: `@kvfio-test-${process.pid}`,
        pid: vm.pid,
        fd: 0,
        vmFd: 0,
        guest: 'idle',
        agent: true,
        clients: 0,
        wbinvds: null,
        seconds: 0,
      },
    );
  });

  it('only sends its descriptor when it is to have no agent', async () => {
    await using vm = await startKvfioVm(['--sock', socket, '--no-agent']);
    using received = await receiveVm(socket, {deadline: late()});
    assert.deepEqual([received.agent, received.peer.pid], [null, vm.pid]);
    using rest = await received.connection.receiveAll(1, 1, late());
    assert.equal(rest.data.length, 0, 'and closes the connection');
  });

  it('executes WBINVD without end, counts, and serves clients meanwhile', async () => {
    await using vm = await startKvfioVm(['--sock', socket, '--guest', 'wbinvd', '--json'], 'stderr');
    using received = await receiveVm(socket, {deadline: late()});
    assert.ok(received.agent !== null);
    const links = (): string[] => [...new Process(vm.pid).descriptors().values()];
    while (!links().includes('anon_inode:kvm-vcpu:0'))
      await new Promise((resolve) => setTimeout(resolve, 20));
    await new Promise((resolve) => setTimeout(resolve, 200));
    assert.equal(await vm.end('SIGINT'), 0);
    const {wbinvds} = last(vm.output().stdout);
    assert.ok(wbinvds !== null && wbinvds > 0 && wbinvds % 256 === 0, String(wbinvds));
  });

  it('lets its guest wait, run and pause, and counts exactly', async () => {
    await using vm = await startKvfioVm(
      ['--sock', socket, '--guest', 'wbinvd', '--paused', '--json'],
      'stderr',
    );
    const says = async (pattern: RegExp): Promise<RegExpExecArray> => {
      for (;;) {
        const match = pattern.exec(vm.output().stderr);
        if (match !== null) return match;
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    };
    const links = (): string[] => [...new Process(vm.pid).descriptors().values()];
    while (!links().includes('anon_inode:kvm-vcpu:0'))
      await new Promise((resolve) => setTimeout(resolve, 20));
    process.kill(vm.pid, 'SIGUSR2');
    await says(/the guest runs/);
    await new Promise((resolve) => setTimeout(resolve, 100));
    process.kill(vm.pid, 'SIGUSR2');
    const [, counted] = await says(/the guest is paused, WBINVD executed (\d+) times/);
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.equal(await vm.end('SIGINT'), 0);
    const {wbinvds} = last(vm.output().stdout);
    assert.ok(wbinvds !== null && wbinvds > 0);
    assert.equal(wbinvds, Number(counted), 'a paused guest executes nothing');
  });

  it('executes nothing as long as its guest is to wait', async () => {
    await using vm = await startKvfioVm(
      ['--sock', socket, '--guest', 'wbinvd', '--paused', '--json'],
      'stderr',
    );
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.equal(await vm.end('SIGINT'), 0);
    assert.equal(last(vm.output().stdout).wbinvds, 0);
  });

  it('does not replace a socket that is in use, and replaces that of one that was killed', async () => {
    await using first = await startKvfioVm(['--sock', socket]);
    const second = start(['vm', '--sock', socket, '--json']);
    assert.equal(second.exit, 5);
    assert.match(second.stdout, /"NOT_LISTENING"/);
    using received = await receiveVm(socket, {deadline: late()});
    assert.equal(received.peer.pid, first.pid);
    await first.end('SIGKILL');
    assert.equal(existsSync(socket), true);
    await using third = await startKvfioVm(['--sock', socket]);
    using again = await receiveVm(socket, {deadline: late()});
    assert.equal(again.peer.pid, third.pid);
  });

  it('listens in the folder of its user when it is not told where', async () => {
    const {exit, stderr} = start(['vm'], {env: {XDG_RUNTIME_DIR: folder.path('none')}});
    assert.deepEqual([exit, /folder does not exist/.test(stderr)], [3, true]);
    if (process.getuid?.() === 0) assert.equal(start(['vm'], {uid: 65534}).exit, 2);
    mkdirSync(folder.path('run'));
    const {XDG_RUNTIME_DIR: before} = process.env;
    process.env['XDG_RUNTIME_DIR'] = folder.path('run');
    try {
      await using vm = await startKvfioVm([]);
      using received = await receiveVm(folder.path('run/kvfio/vm.sock'), {deadline: late()});
      assert.equal(received.peer.pid, vm.pid);
      assert.equal(statSync(folder.path('run/kvfio')).mode & 0o777, 0o700);
    } finally {
      if (before === undefined) delete process.env['XDG_RUNTIME_DIR'];
      else process.env['XDG_RUNTIME_DIR'] = before;
    }
  });

  it('refuses what cannot be a socket', () => {
    assert.equal(start(['vm', '--sock', '/etc/passwd']).exit, 5);
    assert.equal(start(['vm', '--sock', folder.path('none/vm.sock')]).exit, 3);
    assert.equal(start(['vm', '--sock', 'a'.repeat(120)]).exit, 2);
    assert.equal(start(['vm', '--sock', '']).exit, 2);
    assert.equal(start(['vm', '--guest', 'linux']).exit, 2);
  });

  it('turns other users away, also from an abstract name', async function () {
    needs(this, 'root');
    const address = `@kvfio-test-${process.pid}-users`;
    await using vm = await startKvfioVm(['--sock', address]);
    process.seteuid?.(65534);
    try {
      await failsWith(receiveVm(address, {deadline: late()}), 'VM_NOT_SENT', 3, /closed the connection/);
    } finally {
      process.seteuid?.(0);
    }
    assert.equal(await vm.end(), 0);
    assert.match(
      vm.output().stderr,
      new RegExp(
        `^kvfio: turned away process ${process.pid} \\(.+\\), as every other of user 65534: only root may connect$`,
        'm',
      ),
    );
  });
});
