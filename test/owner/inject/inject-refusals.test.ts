import assert from 'node:assert/strict';
import {execFileSync, spawn, type ChildProcess} from 'node:child_process';
import {once} from 'node:events';
import {writeFileSync} from 'node:fs';
import {release} from 'node:os';
import {join} from 'node:path';
import {setTimeout} from 'node:timers/promises';
import {fileURLToPath} from 'node:url';
import {Failure} from '../../../src/failure.js';
import {commOf, Process} from '../../../src/linux/proc/process.js';
import {InjectedOwner} from '../../../src/owner/inject/injected-owner.js';
import {explainTracingRefusal, type TracingRights} from '../../../src/owner/inject/permission.js';
import {made} from '../../support/made.js';
import {needs, VICTIM} from '../../support/needs.js';
import {skip} from '../../support/skip.js';
import {firstLine, runChild, startChild} from './inject-child.js';
import {Arena} from './victim.js';

const NOBODY = 65534;

/** What does not show while a process is not stopped. */
const UNFORESEEN = [
  'OWNER_SECCOMP_SIGRETURN',
  'OWNER_SECCOMP_CALL',
  'OWNER_USER_DISPATCH',
  'OWNER_NO_THREAD',
  'OWNER_ONLY_VCPUS',
];

/** The failure that is foreseen, without a stop; null for none. */
const foreseen = (pid: number): Failure | null => {
  let requests = 0;
  try {
    using owner = InjectedOwner.open(pid, {observe: () => (requests += 1)});
    owner.foresee();
  } catch (error) {
    if (error instanceof Failure) return error;
    throw error;
  } finally {
    assert.equal(requests, 0);
  }
  return null;
};

/** The failure of creating a device in a process. What can be foreseen is, and is the same. */
const refusalOf = (pid: number, vmFd = 4): Failure => {
  const ahead = foreseen(pid);
  const failure = refused(pid, vmFd);
  if (ahead !== null || !UNFORESEEN.includes(failure.code)) {
    assert.equal(ahead?.code, failure.code);
    assert.deepEqual([ahead.what, ahead.why, ahead.hint], [failure.what, failure.why, failure.hint]);
  }
  return failure;
};

const refused = (pid: number, vmFd: number): Failure => {
  try {
    using owner = InjectedOwner.open(pid);
    owner.createDevice(vmFd, 4);
  } catch (error) {
    if (error instanceof Failure) return error;
    throw error;
  }
  return assert.fail('it was not refused');
};

describe('An owner that is not made to execute anything', function () {
  this.timeout(60_000);
  let arena: Arena;

  made(function () {
    needs(this, ...VICTIM);
    return (arena = new Arena());
  });
  afterEach(() => {
    arena.clear();
  });

  it('runs nothing but vCPUs, and its KVM_RUN does not even return', async () => {
    const victim = await arena.victim(['vcpu']);
    await victim.until(({other1}) => other1 > 0);
    // it says so right before KVM_RUN
    await setTimeout(100);
    const failure = refusalOf(victim.pid, victim.report.vmFd);
    assert.equal(failure.code, 'OWNER_ONLY_VCPUS');
    assert.equal(failure.kind, 'refused');
    assert.match(failure.what, /process \d+ \(victim\)/);
    const {broken, interrupted, other1} = victim.report;
    assert.deepEqual({broken, interrupted, other1}, {broken: 0, interrupted: 0, other1: 1});
  });

  it('is not one that another kvfio lets go in half a second, as it may on a busy host', async () => {
    const victim = await arena.victim(['poll']);
    const holder = startChild({pid: victim.pid, work: 'hold'});
    assert.deepEqual(await firstLine(holder), {holding: true});
    // this thread waits for it, so another process has to end it
    const killer = spawn('sh', ['-c', `sleep 0.5; kill -KILL ${holder.pid ?? 0}`]);
    using owner = InjectedOwner.open(victim.pid);
    owner.closeDescriptor(owner.createDevice(victim.report.vmFd, 4));
    if (killer.exitCode === null) await once(killer, 'exit');
    await victim.isWell();
  });

  it('is traced already', async () => {
    const victim = await arena.victim(['poll']);
    const holder = startChild({pid: victim.pid, work: 'hold'});
    assert.deepEqual(await firstLine(holder), {holding: true});
    const failure = refusalOf(victim.pid);
    assert.equal(failure.code, 'OWNER_TRACED');
    assert.ok(failure.why.includes(`process ${holder.pid ?? 0} (${commOf(holder.pid ?? 0)})`), failure.why);
    holder.kill('SIGKILL');
    await victim.isWell();
  });

  it('is stopped by SIGSTOP', async () => {
    const victim = await arena.victim(['poll']);
    process.kill(victim.pid, 'SIGSTOP');
    while (new Process(victim.pid).status().state !== 'T') await setTimeout(1);
    assert.equal(refusalOf(victim.pid).code, 'OWNER_STOPPED');
    process.kill(victim.pid, 'SIGCONT');
    await victim.isWell();
  });

  it('is a zombie', async () => {
    const parent = spawn('sh', ['-c', 'sleep 0 & exec sleep 1000'], {stdio: 'ignore'});
    try {
      const process = new Process(parent.pid ?? -1);
      const child = async (): Promise<number> => {
        for (;;) {
          const [pid] = execFileSync('cat', [`/proc/${process.pid}/task/${process.pid}/children`], {
            encoding: 'utf8',
          }).split(' ');
          if (pid && new Process(Number(pid)).status().state === 'Z') return Number(pid);
          await setTimeout(2);
        }
      };
      assert.equal(refusalOf(await child()).code, 'OWNER_DEAD');
    } finally {
      parent.kill('SIGKILL');
    }
  });

  it('does not exist', () => {
    const failure = refusalOf(2 ** 22 - 1);
    assert.deepEqual([failure.code, failure.kind, failure.exitCode], ['OWNER_GONE', 'notFound', 3]);
  });

  it('is kvfio itself, or a kernel thread', () => {
    assert.equal(refusalOf(process.pid).code, 'INJECT_SELF');
    const kernelThread = new Process(2);
    if (kernelThread.comm() === 'kthreadd') assert.equal(refusalOf(2).code, 'OWNER_KERNEL_THREAD');
  });

  it('is a 32-bit program', async () => {
    const source = join(arena.folder, 'small.c');
    writeFileSync(source, 'void _start(void) { for (;;) __asm__ volatile("mov $29, %eax; int $0x80"); }'); // pause
    const program = arena.compile(
      'bits32',
      ['-m32', '-nostdlib', '-static', '-ffreestanding', '-fno-pic', '-no-pie'],
      source,
    );
    const child = spawn(program, {stdio: 'ignore'});
    try {
      await new Promise((resolve) => child.once('spawn', resolve));
      assert.equal(refusalOf(child.pid ?? -1).code, 'OWNER_32BIT');
    } finally {
      child.kill('SIGKILL');
    }
  });

  it('has no code to be made to execute', async () => {
    const source = join(arena.folder, 'bare.c');
    writeFileSync(source, 'void _start(void) { for (;;) __asm__ volatile("mov $34, %eax; syscall"); }'); // pause
    const program = arena.compile('bare', ['-nostdlib', '-static', '-ffreestanding', '-no-pie'], source);
    const child = spawn(program, {stdio: 'ignore'});
    try {
      await new Promise((resolve) => child.once('spawn', resolve));
      assert.equal(refusalOf(child.pid ?? -1).code, 'OWNER_NO_CODE');
    } finally {
      child.kill('SIGKILL');
    }
  });

  it('has a seccomp filter that forbids rt_sigreturn', async () => {
    const victim = await arena.victim(['poll', 'mute']);
    assert.equal(refusalOf(victim.pid).code, 'OWNER_SECCOMP_SIGRETURN');
    await victim.isWell();
  });

  it('has a seccomp filter that would kill it if kvfio were killed just before a call', async () => {
    const victim = await arena.victim(['poll', 'filtered']);
    assert.equal(refusalOf(victim.pid).code, 'OWNER_SECCOMP_CALL');
    await victim.isWell();
  });

  it('has seccomp filters, and kvfio has not CAP_SYS_ADMIN', async () => {
    const victim = await arena.victim(['poll', 'filtered']);
    const {failure} = await runChild(
      {pid: victim.pid, vmFd: victim.report.vmFd, work: 'create'},
      {wrap: ['setpriv', '--bounding-set', '-sys_admin', '--inh-caps', '-sys_admin']},
    );
    assert.equal(failure?.code, 'OWNER_SECCOMP');
    assert.match(failure.why ?? '', /EPERM/);
    await victim.isWell();
  });

  describe('for what its stack would take, or has taken,', () => {
    const SOURCE = fileURLToPath(new URL('stacks-and-limits.c', import.meta.url));
    const children: ChildProcess[] = [];
    afterEach(() => {
      for (const child of children.splice(0)) child.kill('SIGKILL');
    });

    /** Starts it with limits, as prlimit(1) has them. */
    const start = async (limits: string[], args: string[]): Promise<{pid: number; vmFd: number}> => {
      const program = arena.compile('stacks-and-limits', [], SOURCE);
      const child = spawn('prlimit', [...limits, program, ...args], {stdio: ['ignore', 'pipe', 'inherit']});
      children.push(child);
      const vmFd = Number(String((await once(child.stdout, 'data'))[0]));
      return {pid: child.pid ?? -1, vmFd};
    };
    const stackOf = (pid: number): bigint => {
      const stack = new Process(pid).maps().find(({name}) => name === '[stack]');
      return stack === undefined ? 0n : stack.end - stack.start;
    };
    const createAndClose = ({pid, vmFd}: {pid: number; vmFd: number}): void => {
      const before = stackOf(pid);
      assert.equal(foreseen(pid), null);
      assert.equal(stackOf(pid), before);
      using owner = InjectedOwner.open(pid);
      owner.closeDescriptor(owner.createDevice(vmFd, 4));
    };
    const LOCKED = ['--memlock=4194304'];

    it('has limited address space, of which nothing is taken', async () => {
      const {pid, vmFd} = await start(['--as=1073741824'], ['plain']);
      const before = stackOf(pid);
      assert.equal(refusalOf(pid, vmFd).code, 'OWNER_ADDRESS_SPACE_LIMIT');
      assert.equal(stackOf(pid), before);
    });

    it('has locked its stack and may lock so much only, of which nothing is taken', async () => {
      const {pid, vmFd} = await start(LOCKED, ['locked']);
      const before = stackOf(pid);
      assert.equal(refusalOf(pid, vmFd).code, 'OWNER_LOCKED_MEMORY_LIMIT');
      assert.equal(stackOf(pid), before);
    });

    it('is not one that may lock so much only, and has locked nothing', async () => {
      createAndClose(await start(LOCKED, ['plain']));
    });

    it('is not one that has locked more than it may, by a privilege', async () => {
      createAndClose(await start(['--memlock=65536'], ['locked']));
    });

    it('is not one that has limited what it may have when kvfio has added to its stack already', async () => {
      const owner = await start(['--as=unlimited'], ['plain']);
      createAndClose(owner);
      execFileSync('prlimit', ['--pid', String(owner.pid), '--as=1073741824']);
      createAndClose(owner);
    });

    it('has something mapped where kvfio would have memory added, or right below', async () => {
      for (const depth of [8192 + 64, 8192 + 128 + 512]) {
        const {pid, vmFd} = await start(['--stack=8388608'], ['roomless', String(depth * 1024)]);
        const before = stackOf(pid);
        assert.match(refusalOf(pid, vmFd).why, /something is mapped right below where its stack may grow to/);
        assert.equal(stackOf(pid), before);
      }
    });

    it('is not one that has something mapped further below', async () => {
      createAndClose(await start(['--stack=8388608'], ['roomless', String((8192 + 128 + 1024 + 64) * 1024)]));
    });

    it('has a first thread that has overflown its stack into what kvfio had added to that', async () => {
      for (const depth of [8 * 1024 * 1024 + 8192, 8 * 1024 * 1024 + 64 * 1024]) {
        const owner = await start(['--stack=8388608'], ['overflown', String(depth)]);
        createAndClose(owner);
        process.kill(owner.pid, 'SIGUSR1');
        const first = new Process(owner.pid);
        const isBelow = (): boolean => {
          const call = first.syscall(owner.pid);
          const end = first.maps().find(({name}) => name === '[stack]')?.end ?? 0n;
          return call?.kind === 'syscall' && call.sp < end - BigInt(depth - 8192);
        };
        while (!isBelow()) await setTimeout(1);
        const grown = stackOf(owner.pid);
        const {code, why} = refusalOf(owner.pid, owner.vmFd);
        assert.equal(code, 'OWNER_NO_THREAD');
        assert.match(why, /its first thread uses more of its stack than its limit allows/);
        assert.equal(stackOf(owner.pid), grown);
      }
    });

    const SAME_LIMIT = ['prlimit', '--stack=8388608:8388608'];

    it('has the stack limit that kvfio has itself, which has not CAP_SYS_RESOURCE', async () => {
      const {pid, vmFd} = await start(['--stack=8388608'], ['plain']);
      const {failure} = await runChild(
        {pid, vmFd, work: 'create'},
        {wrap: [...SAME_LIMIT, 'setpriv', '--bounding-set', '-sys_resource', '--inh-caps', '-sys_resource']},
      );
      assert.equal(failure?.code, 'KVFIO_STACK_LIMIT');
    });

    it('is not one that has the stack limit of a kvfio with CAP_SYS_RESOURCE', async function () {
      const {capEff} = new Process(process.pid).status();
      if ((((capEff ?? 0n) >> 24n) & 1n) === 0n) skip(this, 'needs CAP_SYS_RESOURCE', 'lab');
      const {pid, vmFd} = await start(['--stack=8388608'], ['plain']);
      const {failure} = await runChild({pid, vmFd, work: 'create'}, {wrap: SAME_LIMIT});
      assert.equal(failure, undefined);
    });
  });

  it('uses syscall user dispatch, which would kill it', async function () {
    const [major = 0, minor = 0] = release().split('.').map(Number);
    if (major * 100 + minor < 604) skip(this, 'this kernel does not tell');
    arena.compile('dispatching', [], fileURLToPath(new URL('dispatching.c', import.meta.url)));
    const child = spawn(join(arena.folder, 'dispatching'), {stdio: ['ignore', 'pipe', 'inherit']});
    const ended = once(child, 'exit');
    try {
      const vmFd = Number(String((await once(child.stdout, 'data'))[0]));
      const failure = refusalOf(child.pid ?? -1, vmFd);
      assert.equal(failure.code, 'OWNER_USER_DISPATCH');
      assert.deepEqual(await ended, [0, null]);
    } finally {
      child.kill('SIGKILL');
    }
  });

  it('belongs to another user', async () => {
    const victim = await arena.victim(['poll']);
    const {failure} = await runChild({pid: victim.pid, work: 'create'}, {uid: NOBODY});
    assert.equal(failure?.code, 'OWNER_NOT_PERMITTED');
    assert.equal(failure.kind, 'permission');
    assert.match(failure.why ?? '', /belongs to user 0 and kvfio runs as user 65534/);
    await victim.isWell();
  });

  it('ended after it was looked at, at whatever comes first', async () => {
    for (const first of [
      (owner: InjectedOwner) => owner.createDevice(3, 4),
      (owner: InjectedOwner) => owner.takeDescriptor(0),
    ]) {
      const victim = await arena.victim(['poll']);
      using owner = InjectedOwner.open(victim.pid);
      victim.kill();
      await victim.ended();
      assert.throws(() => first(owner), {name: 'Failure', code: 'OWNER_GONE'});
    }
  });

  it('is not dumpable', async () => {
    const victim = await arena.victim(['poll', 'undumpable'], {uid: NOBODY});
    const {failure} = await runChild({pid: victim.pid, work: 'create'}, {uid: NOBODY});
    assert.equal(failure?.code, 'OWNER_NOT_PERMITTED');
    assert.match(failure.why ?? '', /not dumpable/);
    await victim.isWell();
  });

  it('belongs to the same user as kvfio, and is served without privileges', async () => {
    const victim = await arena.victim(['poll'], {uid: NOBODY});
    const {result, failure} = await runChild(
      {pid: victim.pid, work: 'give and add', device: 4711},
      {uid: NOBODY},
    );
    assert.deepEqual({result, code: failure?.code}, {result: undefined, code: 'EBADF'});
    await victim.isWell();
  });
});

describe('The reason why a process may not be traced', () => {
  const rights: TracingRights = {
    capSysPtrace: false,
    kvfioUid: 1000,
    ownerUid: 1000,
    filesUid: 1000,
    yamaScope: null,
  };
  for (const [change, why] of [
    [{yamaScope: 3, capSysPtrace: true}, /ptrace_scope is 3/],
    [{capSysPtrace: true, ownerUid: 0}, /even though kvfio has CAP_SYS_PTRACE/],
    [{ownerUid: 0, yamaScope: 2}, /belongs to user 0/],
    [{yamaScope: 2}, /ptrace_scope is 2/],
    [{filesUid: 0, yamaScope: 1}, /not dumpable/],
    [{yamaScope: 1}, /descendants only/],
    [{yamaScope: 0}, /capabilities that kvfio lacks/],
    [{ownerUid: null, filesUid: null}, /capabilities that kvfio lacks/],
  ] as const) {
    it(`is the first rule that forbids it: ${JSON.stringify(change)}`, () => {
      assert.match(explainTracingRefusal({...rights, ...change}).why, why);
    });
  }
});
