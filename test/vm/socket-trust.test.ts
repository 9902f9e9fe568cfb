import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import {chmodSync, chownSync, mkdirSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import type {ErrorDocument} from '../../src/cli/output/report.js';
import type {StatusDocument} from '../../src/kvm-vfio/status.js';
import {made} from '../support/made.js';
import {needs, VICTIM} from '../support/needs.js';
import {buildOnce, PROJECT} from '../support/run.js';
import {compile, scratch, startVmm, type Vmm} from './vmm.js';

const STRANGER = 4711;

/** Threads that a kvfio did something to by ptrace, and how it ended. */
interface Traced {
  exit: number;
  document: unknown;
  traced: number[];
}

describe('root, and a VM that a stranger hands out', function () {
  this.timeout(120_000);
  let folder: ReturnType<typeof scratch>;
  made(function () {
    needs(this, ...VICTIM, 'build', 'strace');
    buildOnce();
    return (folder = scratch());
  });
  before(() => {
    chmodSync(folder.path('.'), 0o755);
    compile(join(PROJECT, 'test/vm/stranger.c'), folder.path('stranger'));
    mkdirSync(folder.path('his'));
    chownSync(folder.path('his'), STRANGER, STRANGER);
    mkdirSync(folder.path('shared'));
    chmodSync(folder.path('shared'), 0o1777);
  });

  let count = 0;
  interface Strangers extends AsyncDisposable {
    socket: string;
    /** Process that created the VM. */
    creator: number;
    /** Root's process that keeps a descriptor of it. */
    keeper: number;
  }
  const strangers = async (place: 'his' | 'shared', how = ''): Promise<Strangers> => {
    count += 1;
    const socket = folder.path(`${place}/${count}`);
    const keeper: Vmm = await startVmm([folder.path('stranger'), 'keep', folder.path(`keeper-${count}`)]);
    const stranger = await startVmm([
      ...[folder.path('stranger'), 'serve', socket, folder.path(`keeper-${count}`)],
      ...[String(STRANGER), how],
    ]);
    return {
      socket,
      creator: Number(stranger.line),
      keeper: keeper.pid,
      [Symbol.asyncDispose]: async () => {
        await stranger.end('SIGKILL');
        await keeper.end('SIGKILL');
      },
    };
  };

  const kvfio = (...argv: string[]): Traced => {
    const log = folder.path('strace');
    const {status, stdout, stderr} = spawnSync(
      'strace',
      [
        '-f',
        '-qq',
        '-e',
        'trace=ptrace',
        '-e',
        'signal=none',
        '-o',
        log,
        process.execPath,
        join(PROJECT, 'bin/run.js'),
        ...argv,
        '--json',
      ],
      {encoding: 'utf8', env: {PATH: process.env['PATH'] ?? '', HOME: '/dev/null'}},
    );
    assert.ok(stdout.startsWith('{'), stderr);
    const calls = [...readFileSync(log, 'utf8').matchAll(/ptrace\(PTRACE_\w+, (\d+)/g)];
    return {
      exit: status ?? -1,
      document: JSON.parse(stdout),
      traced: [...new Set(calls.map(([, tid]) => Number(tid)))],
    };
  };
  const codeOf = ({document}: Traced): string => (document as ErrorDocument).error.code;

  for (const how of ['', 'child', 'shed'])
    it(`traces nobody for one in a folder that all may write to${how === '' ? '' : ` (${how})`}`, async () => {
      await using at = await strangers('shared', how);
      for (const argv of [
        ['create'],
        ['create', '--dry-run'],
        ['attach', '--group', '1'],
        ['attach', '--group', '1', '--dry-run'],
        ['detach', '--all'],
        ['status', '--verify'],
      ]) {
        const answer = kvfio(...argv, '--vm-sock', at.socket);
        assert.deepEqual(
          [answer.exit, codeOf(answer), answer.traced],
          [5, 'SOCKET_OF_STRANGER', []],
          argv.join(' '),
        );
      }
      const {exit, traced} = kvfio('status', '--vm-sock', at.socket);
      assert.deepEqual([exit, traced], [0, []]);
    });

  it('traces none of its own processes that the stranger passed the VM to', async () => {
    await using at = await strangers('his', 'shed');
    for (const argv of [['create'], ['create', '--dry-run'], ['detach', '--all', '--close-device']]) {
      const answer = kvfio(...argv, '--vm-sock', at.socket);
      assert.deepEqual(
        [answer.exit, codeOf(answer), answer.traced],
        [5, 'OWNER_OF_ANOTHER_USER', []],
        argv.join(' '),
      );
    }
    const {exit, document, traced} = kvfio('status', '--vm-sock', at.socket);
    assert.deepEqual([exit, (document as StatusDocument).vm.pid, traced], [0, at.keeper, []]);
  });

  for (const how of ['', 'child'])
    it(`has the stranger's own process do it, where only he can have listened, and no other${how === '' ? '' : ` (${how})`}`, async () => {
      await using at = await strangers('his', how);
      for (const argv of [['create', '--dry-run'], ['create'], ['detach', '--all', '--close-device']]) {
        const {exit, document, traced} = kvfio(...argv, '--vm-sock', at.socket);
        assert.deepEqual([exit, (document as StatusDocument).vm.pid], [0, at.creator], argv.join(' '));
        assert.equal(traced.includes(at.keeper), false);
      }
    });

  it('goes from a process that its user named to no process of another user', async () => {
    await using at = await strangers('his');
    const refused = kvfio('create', '--pid', String(at.keeper));
    assert.deepEqual([refused.exit, codeOf(refused)], [5, 'OWNER_OF_ANOTHER_USER']);
    assert.equal(refused.traced.includes(at.creator), false);
    const done = kvfio('create', '--pid', String(at.creator));
    assert.deepEqual([done.exit, done.traced.includes(at.keeper)], [0, false]);
  });
});
