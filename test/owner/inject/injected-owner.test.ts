import assert from 'node:assert/strict';
import {execFileSync, spawn} from 'node:child_process';
import {once} from 'node:events';
import {copyFileSync, mkdirSync, readFileSync} from 'node:fs';
import {constants} from 'node:os';
import {join} from 'node:path';
import {setTimeout} from 'node:timers/promises';
import {fileURLToPath} from 'node:url';
import {Descriptor} from '../../../src/linux/descriptor.js';
import {SyscallError} from '../../../src/linux/errno.js';
import {O_RDWR, open} from '../../../src/linux/libc.js';
import {sameFile} from '../../../src/linux/proc/kcmp.js';
import {ProcessMemory} from '../../../src/linux/memory.js';
import {Process} from '../../../src/linux/proc/process.js';
import {findCodeSites} from '../../../src/owner/inject/code-sites.js';
import {InjectedOwner} from '../../../src/owner/inject/injected-owner.js';
import {spareMemory} from '../../../src/owner/inject/spare-memory.js';
import {stopThread} from '../../../src/owner/inject/stop-thread.js';
import {made} from '../../support/made.js';
import {needs, VICTIM} from '../../support/needs.js';
import {rounds, SLOWNESS} from '../../support/pace.js';
import {tryAgain} from '../../support/try-again.js';
import {runChild, type ChildAnswer} from './inject-child.js';
import {makeAndClose, makeDevice} from '../../vm/make-device.js';
import {Arena} from './victim.js';

const KVM_DEV_TYPE_VFIO = 4;
const FILE = 1;
const ADD = 1;
const DEL = 2;
const NOBODY = 65534;

const devNull = (): Descriptor => new Descriptor(open('/dev/null', O_RDWR), '/dev/null');

describe('An injected owner', function () {
  this.timeout(120_000);
  let arena: Arena;

  made(function () {
    needs(this, ...VICTIM);
    return (arena = new Arena());
  });
  afterEach(() => {
    arena.clear();
  });

  it('is made to call by one thread while others end as they are tried', async () => {
    const victim = await arena.victim(['poll', 'churns']);
    const before = victim.descriptors();
    using owner = InjectedOwner.open(victim.pid);
    for (let round = 0; round < rounds(100); round += 1) makeAndClose(owner, victim.report.vmFd);
    assert.deepEqual(victim.descriptors(), before);
    await victim.isWell();
  });

  for (const mode of ['spin', 'poll', 'ppoll', 'nanosleep', 'futex', 'epoll', 'read', 'sigwait']) {
    it(`gets the kernel's own answers to every call, and notices nothing, in ${mode}`, async () => {
      const victim = await arena.victim([mode]);
      const {vmFd} = victim.report;
      const before = victim.descriptors();
      using owner = InjectedOwner.open(victim.pid);

      const device = owner.createDevice(vmFd, KVM_DEV_TYPE_VFIO);
      assert.ok(victim.descriptors().includes(`${device} anon_inode:kvm-vfio`));
      assert.throws(() => owner.createDevice(vmFd, KVM_DEV_TYPE_VFIO), {
        message: 'ioctl(KVM_CREATE_DEVICE): EBUSY',
      });
      assert.throws(() => owner.createDevice(vmFd, 4711), {code: 'ENODEV'});

      using file = devNull();
      const given = owner.giveDescriptor(file);
      assert.ok(sameFile(process.pid, file.fd, victim.pid, given));
      const attribute = (attr: number, fd: number) => () => {
        owner.setDeviceAttr(device, FILE, attr, fd);
      };
      // the descriptor has arrived: it is not VFIO's, and that is another error than that of one that is not open
      assert.throws(attribute(ADD, given), {message: 'ioctl(KVM_SET_DEVICE_ATTR): EINVAL'});
      assert.throws(attribute(DEL, given), {code: 'ENOENT'});
      assert.throws(attribute(ADD, 4711), {code: 'EBADF'});
      assert.throws(attribute(3, given), {code: 'ENXIO'});

      owner.closeDescriptor(given);
      owner.closeDescriptor(device);
      assert.throws(
        () => {
          owner.closeDescriptor(given);
        },
        {message: 'close: EBADF'},
      );
      assert.deepEqual(victim.descriptors(), before);
      await victim.isWell();
      assert.equal(victim.report.interrupted, 0);
    });
  }

  for (const call of [
    ...['read', 'preadv2', 'accept', 'recvmsg', 'connect'],
    ...['ppoll', 'pselect6', 'io_uring_enter'],
  ]) {
    it(`waits on in ${call} when its thread turns out to be another process's`, async () => {
      arena.compile('waiting', [], fileURLToPath(new URL('waiting.c', import.meta.url)));
      const child = spawn(join(arena.folder, 'waiting'), [call], {stdio: ['ignore', 'pipe', 'inherit']});
      const ended = once(child, 'exit');
      try {
        await once(child.stdout, 'data');
        const pid = child.pid ?? -1;
        const process = new Process(pid);
        while (process.status().state !== 'S');
        const sites = findCodeSites(process.maps(), (start, size) => process.memory(start, size));
        assert.ok(sites);
        using memory = new ProcessMemory(pid, 128);
        const spare = spareMemory(process, memory);
        assert.ok(typeof spare !== 'string');
        const outcome = stopThread({
          ...{pid, tid: pid, memory, sites, spare, filtered: false, suspendSeccomp: false, patience: 1000},
          observe: () => undefined,
          mayStillBe: () => true,
          mayStopNow: () => true,
          isOwners: () => false,
        });
        assert.equal(outcome, 'not-the-owners');
        assert.deepEqual(await ended, [0, null]);
      } finally {
        child.kill('SIGKILL');
      }
    });

    // that one is left alone
    if (call === 'connect') continue;
    it(`waits on in ${call} with a timeout, which a stop ends otherwise`, async () => {
      arena.compile('waiting', [], fileURLToPath(new URL('waiting.c', import.meta.url)));
      const child = spawn(join(arena.folder, 'waiting'), [call], {stdio: ['ignore', 'pipe', 'inherit']});
      const ended = once(child, 'exit');
      try {
        const vmFd = Number(String((await once(child.stdout, 'data'))[0]));
        const pid = child.pid ?? -1;
        while (new Process(pid).status().state !== 'S');
        using owner = InjectedOwner.open(pid);
        makeAndClose(owner, vmFd);
        // with the end of its own waiting, a second later
        assert.deepEqual(await ended, [0, null]);
      } finally {
        child.kill('SIGKILL');
      }
    });
  }

  it('finds what lies below its stack as it was', async () => {
    arena.compile('canary', [], fileURLToPath(new URL('canary.c', import.meta.url)));
    const child = spawn(join(arena.folder, 'canary'), {stdio: ['ignore', 'pipe', 'inherit']});
    const ended = once(child, 'exit');
    try {
      const vmFd = Number(String((await once(child.stdout, 'data'))[0]));
      using owner = InjectedOwner.open(child.pid ?? -1);
      // in one stop: a second one might not see which call is being continued
      owner.together(() => {
        makeAndClose(owner, vmFd);
      });
      assert.deepEqual(await ended, [0, null]);
    } finally {
      child.kill('SIGKILL');
    }
  });

  for (const kind of ['bss', 'heap', 'array', 'coroutine']) {
    it(`keeps what is right below a small stack of its own: ${kind}`, async () => {
      // bound early, because the dynamic linker needs more stack than there is
      const source = fileURLToPath(new URL('small-stacks.c', import.meta.url));
      arena.compile('small-stacks', ['-Wl,-z,now'], source);
      const victim = await arena.victim([kind], {program: 'small-stacks'});
      const before = victim.descriptors();
      using owner = InjectedOwner.open(victim.pid);
      for (let round = 0; round < 20; round += 1) {
        tryAgain(() => {
          owner.together(() => {
            makeAndClose(owner, victim.report.vmFd);
          });
        });
        await victim.isWell();
      }
      assert.deepEqual(victim.descriptors(), before);
    });
  }

  it('makes the calls also on a stack without room, and what lies beyond the guard page is not touched', async () => {
    const victim = await arena.victim(['small']);
    using owner = InjectedOwner.open(victim.pid);
    makeAndClose(owner, victim.report.vmFd);
    await victim.isWell();
  });

  it('makes the calls also where its code may be executed only', async () => {
    const victim = await arena.victim(['poll', 'unreadable']);
    assert.ok(new Process(victim.pid).maps().some(({name, readable}) => name.includes('/libc') && !readable));
    using owner = InjectedOwner.open(victim.pid);
    makeAndClose(owner, victim.report.vmFd);
    await victim.isWell();
  });

  it('makes no call when it is not the process that is meant', async () => {
    const victim = await arena.victim(['poll']);
    const before = victim.descriptors();
    using owner = InjectedOwner.open(victim.pid, {isRight: () => false});
    assert.throws(() => owner.createDevice(victim.report.vmFd, KVM_DEV_TYPE_VFIO), {code: 'OWNER_GONE'});
    assert.deepEqual(victim.descriptors(), before);
    await victim.isWell();
  });

  it('makes several calls in one stop, and is stopped once for each otherwise', async () => {
    const victim = await arena.victim(['poll']);
    const requests: string[] = [];
    using owner = InjectedOwner.open(victim.pid, {observe: (request) => requests.push(request)});
    const stops = (work: () => void): number => {
      requests.length = 0;
      work();
      return requests.filter((request) => request === 'PTRACE_INTERRUPT').length;
    };
    using file = devNull();
    const round = (): void => {
      const device = makeDevice(owner, victim.report.vmFd);
      const given = owner.giveDescriptor(file);
      for (const fd of [given, ...device]) owner.closeDescriptor(fd);
    };
    assert.equal(stops(round), 4);
    assert.equal(
      stops(() => {
        owner.together(round);
      }),
      1,
    );
  });

  it('hands out a descriptor without a stop', async () => {
    const victim = await arena.victim(['spin']);
    using owner = InjectedOwner.open(victim.pid, {observe: (request) => assert.fail(request)});
    using vm = owner.takeDescriptor(victim.report.vmFd);
    assert.equal(new Process(process.pid).descriptor(vm.fd), 'anon_inode:kvm-vm');
    assert.throws(() => owner.takeDescriptor(4711), {code: 'EBADF'});
  });

  it('gives descriptors that are closed on exec', async () => {
    const victim = await arena.victim(['poll']);
    using owner = InjectedOwner.open(victim.pid);
    using file = devNull();
    for (const fd of [
      owner.giveDescriptor(file),
      owner.createDevice(victim.report.vmFd, KVM_DEV_TYPE_VFIO),
    ]) {
      const flags = /^flags:\s*(\d+)$/m.exec(readFileSync(`/proc/${victim.pid}/fdinfo/${fd}`, 'utf8'))?.[1];
      assert.equal(parseInt(flags ?? '', 8) & 0o2000000, 0o2000000);
    }
  });

  it('cannot take a descriptor when it may have no more, and keeps none of the attempt', async () => {
    const victim = await arena.victim(['poll']);
    const before = victim.descriptors();
    const next = Math.max(...before.map((line) => parseInt(line, 10))) + 1;
    using owner = InjectedOwner.open(victim.pid);
    using file = devNull();
    for (const [room, code] of [
      [0, 'EMFILE'],
      [1, 'EMFILE'],
    ] as const) {
      const free = new Set(Array.from({length: next}, (_, fd) => fd));
      for (const line of before) free.delete(parseInt(line, 10));
      if (free.size > 0) continue; // prlimit counts numbers, not descriptors
      execFileSync('prlimit', ['--pid', String(victim.pid), `--nofile=${next + room}:4096`]);
      assert.throws(() => owner.giveDescriptor(file), {code});
      assert.deepEqual(victim.descriptors(), before);
    }
    await victim.isWell();
  });

  it('runs all its other threads while one is stopped', async () => {
    const victim = await arena.victim(['spin', 'threads']);
    using owner = InjectedOwner.open(victim.pid);
    owner.together(() => {
      const begin = victim.report;
      for (;;) {
        const {other0, other1, ticks} = victim.report;
        assert.equal(ticks, begin.ticks, 'the first thread is stopped');
        if (other0 > begin.other0 + 1_000_000 && other1 > begin.other1 + 1_000_000) break;
      }
    });
    await victim.isWell();
  });

  it('never stops a vCPU in the guest when it has another thread', async () => {
    const victim = await arena.victim(['poll', 'vcpus']);
    await victim.until(({other1}) => other1 > 0);
    using owner = InjectedOwner.open(victim.pid);
    for (let round = 0; round < 50; round += 1) {
      owner.together(() => {
        makeAndClose(owner, victim.report.vmFd);
      });
    }
    await victim.isWell();
    assert.equal(victim.report.interrupted, 0);
    assert.equal(victim.report.other1, 1, 'KVM_RUN has never returned');
  });

  it('loses no signal in a storm of them, and its handlers see a sane stack', async () => {
    const victim = await arena.victim(['signals']);
    using owner = InjectedOwner.open(victim.pid);
    const begin = victim.report.queued;
    for (let round = 0; round < 300; round += 1) {
      owner.together(() => {
        makeAndClose(owner, victim.report.vmFd);
      });
      await setTimeout(1);
    }
    await victim.until(({queued}) => queued > begin + 1000);
    // each expiration of the timer is counted by the handler, or by the overrun count of the next signal
    await victim.until(({longest: started, expirations}) => {
      const expired = (Number(process.hrtime.bigint()) - started) / 100_000;
      return expired - expirations < 100;
    });
    await victim.isWell();
  });

  it('that is stopped by SIGSTOP meanwhile makes its calls, stays stopped, and can be continued', async () => {
    const victim = await arena.victim(['spin']);
    using owner = InjectedOwner.open(victim.pid);
    for (let round = 0; round < 20; round += 1) {
      owner.together(() => {
        process.kill(victim.pid, 'SIGSTOP');
        const device = makeDevice(owner, victim.report.vmFd);
        if (round % 2 === 1) process.kill(victim.pid, 'SIGCONT');
        for (const fd of device) owner.closeDescriptor(fd);
      });
      if (round % 2 === 0) {
        while (new Process(victim.pid).status().state !== 'T') await setTimeout(1);
        process.kill(victim.pid, 'SIGCONT');
      }
      await victim.isWell();
    }
  });

  it('that dies meanwhile is a clear failure and no waiting', async () => {
    const victim = await arena.victim(['poll']);
    const {failure} = await runChild({
      pid: victim.pid,
      vmFd: victim.report.vmFd,
      work: 'create after its death',
    });
    assert.equal(failure?.code, 'OWNER_GONE');
    assert.equal(failure.kind, 'notFound');
    assert.equal(await victim.ended(), 'SIGKILL');
  });

  it('has done what it was made to do also when the kernel refuses to have it put back', async () => {
    /** @param failing - the number of the ptrace request that is refused */
    const create = async (failing: number): Promise<string[]> => {
      const victim = await arena.victim(['poll']);
      const requests: string[] = [];
      using owner = InjectedOwner.open(victim.pid, {
        observe: (request) => {
          requests.push(request);
          if (requests.length === failing)
            throw new SyscallError(`ptrace(${request})`, constants.errno.ENOMEM);
        },
      });
      const device = owner.createDevice(victim.report.vmFd, KVM_DEV_TYPE_VFIO);
      assert.equal(new Process(victim.pid).descriptor(device), 'anon_inode:kvm-vfio');
      await victim.isWell();
      return requests;
    };
    const requests = await create(-1);
    assert.deepEqual(requests.slice(-3), ['PTRACE_SETSIGMASK', 'PTRACE_SETREGS', 'PTRACE_DETACH']);
    const all = requests.length;
    for (let failing = all - 2; failing <= all; failing += 1) await create(failing);
  });

  it('that executes another program meanwhile is a clear failure, and that program is well', async () => {
    const victim = await arena.victim(['poll', 'execs']);
    using owner = InjectedOwner.open(victim.pid);
    assert.throws(
      () => {
        owner.together(() => {
          victim.tell(1);
          while (new Process(victim.pid).comm() !== 'sleep');
          owner.createDevice(4, KVM_DEV_TYPE_VFIO);
        });
      },
      {code: 'OWNER_GONE'},
    );
    assert.equal(new Process(victim.pid).comm(), 'sleep');
    while (new Process(victim.pid).status().state !== 'S') await setTimeout(1); // it sleeps, as is its purpose
    assert.equal(new Process(victim.pid).status().tracerPid, 0);
  });

  it('that has executed another program since it was looked at is served with that one', async () => {
    const victim = await arena.victim(['poll', 'execs']);
    using owner = InjectedOwner.open(victim.pid);
    victim.tell(1);
    while (new Process(victim.pid).comm() !== 'sleep') await setTimeout(1);
    while (new Process(victim.pid).status().state !== 'S') await setTimeout(1); // it has begun to sleep
    assert.throws(() => owner.createDevice(victim.report.vmFd, KVM_DEV_TYPE_VFIO), {code: 'EBADF'});
    assert.equal(new Process(victim.pid).comm(), 'sleep');
  });

  it('may be another user, in another root directory, another PID namespace, or linked statically', async () => {
    arena.compile('static', ['-static']);
    mkdirSync(join(arena.folder, 'dev'), {recursive: true});
    copyFileSync('/dev/null', join(arena.folder, 'dev/empty'));
    const victims = {
      user: await arena.victim(['poll'], {uid: NOBODY}),
      static: await arena.victim(['spin'], {program: 'static'}),
      chroot: await arena.victim(['poll'], {program: 'static', wrap: ['chroot', arena.folder]}),
      namespace: await arena.victim(['poll'], {
        wrap: ['unshare', '--pid', '--net', '--fork', '--kill-child'],
      }),
    };
    for (const [name, victim] of Object.entries(victims)) {
      const pid =
        name === 'namespace'
          ? Number(readFileSync(`/proc/${victim.pid}/task/${victim.pid}/children`, 'utf8'))
          : victim.pid;
      const before = victim.descriptors(pid);
      using owner = InjectedOwner.open(pid);
      using file = devNull();
      const fd = owner.giveDescriptor(file);
      assert.ok(sameFile(process.pid, file.fd, pid, fd), name);
      assert.throws(() => owner.createDevice(fd, KVM_DEV_TYPE_VFIO), {code: 'ENOTTY'});
      owner.closeDescriptor(fd);
      assert.deepEqual(victim.descriptors(pid), before, name);
      if (name !== 'namespace') await victim.isWell();
    }
  });

  it('may have a seccomp filter that kills for all that it does not do itself, when that is to be suspended', async () => {
    const victim = await arena.victim(['poll', 'filtered']);
    using owner = InjectedOwner.open(victim.pid, {suspendSeccomp: true});
    using file = devNull();
    for (let round = 0; round < 20; round += 1) {
      owner.together(() => {
        const device = makeDevice(owner, victim.report.vmFd);
        const given = owner.giveDescriptor(file);
        for (const fd of [given, ...device]) owner.closeDescriptor(fd);
      });
      await victim.isWell();
    }
    assert.equal(new Process(victim.pid).status().seccomp, 2, 'the filter is in force afterwards');
  });

  it('leaks nothing and loses no tick in many rounds under load', async () => {
    const victim = await arena.victim(['ppoll', 'threads']);
    const before = victim.descriptors();
    const own = new Process(process.pid).descriptors().size;
    using file = devNull();
    for (let round = 0; round < rounds(100); round += 1) {
      using owner = InjectedOwner.open(victim.pid);
      owner.together(() => {
        const device = makeDevice(owner, victim.report.vmFd);
        const given = owner.giveDescriptor(file);
        for (const fd of [given, ...device]) owner.closeDescriptor(fd);
      });
    }
    await victim.isWell();
    assert.deepEqual(victim.descriptors(), before);
    assert.equal(new Process(process.pid).descriptors().size, own + 1);
  });

  it('may be worked on by several kvfios at a time', async () => {
    // each waits for those before it, and no longer than 10 s
    const several = Math.max(2, Math.floor(6 / SLOWNESS));
    const victim = await arena.victim(['spin', 'threads']);
    const before = victim.descriptors();
    const answer = async (left = 10): Promise<ChildAnswer> => {
      const {vmFd} = victim.report;
      const found = await runChild({pid: victim.pid, vmFd, work: 'give and add', device: 4711});
      return found.failure?.code === 'OWNER_NO_THREAD' && left > 0 ? answer(left - 1) : found;
    };
    const answers = await Promise.all(Array.from({length: several}, () => answer()));
    for (const {failure} of answers) assert.equal(failure?.code, 'EBADF'); // there is no such device
    await victim.isWell();
    assert.equal(victim.descriptors().length, before.length + several);
  });
});
