import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import {chmodSync, readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import {Deadline} from '../../../src/linux/deadline.js';
import {UnixSocket} from '../../../src/linux/socket/unix-socket.js';
import {receiveVm} from '../../../src/vm/receive-vm.js';
import {made} from '../../support/made.js';
import {needs} from '../../support/needs.js';
import {PROJECT} from '../../support/run.js';
import {skip} from '../../support/skip.js';
import {scratch, startVmm, type Vmm} from '../../vm/vmm.js';

const AGENT = join(PROJECT, 'src/owner/agent');
const LIMIT = '#define KVFIO_AGENT_IDLE_SECONDS 30';

describe('an agent in C, whose clients have one second', function () {
  this.timeout(60_000);
  let folder: ReturnType<typeof scratch>;
  made(function () {
    needs(this, 'cc');
    folder = scratch();
    chmodSync(folder.path('.'), 0o755);
    const header = readFileSync(join(AGENT, 'kvfio-agent.h'), 'utf8');
    assert.ok(header.includes(LIMIT));
    writeFileSync(folder.path('kvfio-agent.h'), header.replace(LIMIT, LIMIT.replace('30', '1')));
    writeFileSync(folder.path('example-vmm.c'), readFileSync(join(AGENT, 'example-vmm.c')));
    build(join(PROJECT, 'test/owner/agent/slow-client.c'), 'slow-client');
    build(folder.path('example-vmm.c'), 'example-vmm');
    return folder;
  });

  const build = (source: string, program: string): void => {
    const flags = ['-std=gnu11', '-O2', '-Wall', '-Wextra', '-Werror', `-I${folder.path('.')}`];
    const {status, stderr} = spawnSync('cc', [...flags, '-o', folder.path(program), source], {
      encoding: 'utf8',
    });
    assert.equal(status, 0, stderr);
  };
  const slowClient = (how: string): string =>
    spawnSync(folder.path('slow-client'), [how], {encoding: 'utf8', timeout: 30_000}).stdout.trim();

  it('trusts nobody by a user id that stands for all users whom a user namespace does not map', function () {
    const {status, stdout} = spawnSync('unshare', ['--user', folder.path('slow-client'), 'signals'], {
      encoding: 'utf8',
    });
    if (status !== 0) skip(this, 'no user namespace can be made here');
    assert.equal(stdout.trim(), 'EPERM');
  });

  it('gives up one that is silent, however often a signal comes', () => {
    assert.equal(slowClient('signals'), 'ETIMEDOUT');
  });

  it('gives up one that sends its request byte by byte', () => {
    assert.equal(slowClient('bytes'), 'ETIMEDOUT');
  });

  it('keeps one that completes its requests for as long as it likes', () => {
    assert.equal(slowClient('answers'), 'ESHUTDOWN');
  });

  it('tries again a few times a second when its process may open no more files', () => {
    const tries = Number(slowClient('files'));
    assert.ok(tries > 0 && tries < 100, `it has tried ${tries} times`);
  });

  const example = async (wrap: string[] = []): Promise<Vmm & {socket: string}> => {
    const socket = folder.path(`${Math.random()}.sock`);
    return {...(await startVmm([...wrap, folder.path('example-vmm'), socket])), socket};
  };

  it('serves the next one when slow ones have had all its places', async function () {
    needs(this, 'kvm');
    await using vmm = await example();
    const slow: UnixSocket[] = [];
    for (let each = 0; each < 8; each += 1)
      slow.push(await UnixSocket.connect(vmm.socket, Deadline.after(10_000)));
    const trickle = setInterval(() => {
      for (const each of slow) each.send(Buffer.from([0]), [], Deadline.after(1000)).catch(() => undefined);
    }, 200);
    try {
      using received = await receiveVm(vmm.socket, {deadline: Deadline.after(30_000)});
      assert.equal(received.peer.pid, vmm.pid);
    } finally {
      clearInterval(trickle);
    }
    for (const each of slow) each[Symbol.dispose]();
  });

  it('waits when its process may open no more files, and serves when it may again', async function () {
    needs(this, 'kvm');
    await using vmm = await example(['prlimit', '--nofile=12']);
    // its own five, and seven of the eight clients that it has places for
    const clients: UnixSocket[] = [];
    for (let each = 0; each < 8; each += 1)
      clients.push(await UnixSocket.connect(vmm.socket, Deadline.after(10_000)));
    const busy = (): number => {
      const fields = readFileSync(`/proc/${vmm.pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
      return Number(fields[11]) + Number(fields[12]);
    };
    const before = busy();
    await sleep(1000);
    assert.ok(busy() - before < 50, 'it has not turned round and round');
    for (const each of clients) each[Symbol.dispose]();
    using received = await receiveVm(vmm.socket, {deadline: Deadline.after(30_000)});
    assert.equal(received.peer.pid, vmm.pid);
  });
});
