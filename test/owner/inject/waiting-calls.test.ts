import assert from 'node:assert/strict';
import {setTimeout} from 'node:timers/promises';
import {fileURLToPath} from 'node:url';
import type {Failure} from '../../../src/failure.js';
import {KVM_DEV_TYPE_VFIO} from '../../../src/linux/ioctl.js';
import {Process} from '../../../src/linux/proc/process.js';
import {SYSCALLS_X64} from '../../../src/linux/syscalls.js';
import {InjectedOwner} from '../../../src/owner/inject/injected-owner.js';
import {threadCandidates, type Candidate} from '../../../src/owner/inject/candidates.js';
import {findCodeSites} from '../../../src/owner/inject/code-sites.js';
import {RunningThreads} from '../../../src/owner/inject/running-threads.js';
import {spareMemory} from '../../../src/owner/inject/spare-memory.js';
import {stopThread} from '../../../src/owner/inject/stop-thread.js';
import {UNSTOPPABLE_CALL} from '../../../src/owner/inject/thread-errors.js';
import {StoppedThread} from '../../../src/owner/inject/stopped-thread.js';
import {ProcessMemory} from '../../../src/linux/memory.js';
import {afterStop} from '../../../src/owner/inject/waiting-calls.js';
import {rounds} from '../../support/pace.js';
import {made} from '../../support/made.js';
import {needs, VICTIM} from '../../support/needs.js';
import {NOT_STOPPABLE, STOPPABLE, WORKING} from '../../zoo/waits.js';
import {Arena, type Victim} from './victim.js';

/**
 * Whether it was served, refused as no thread of it can be stopped, or given up without a stop: its thread is this process's until
 * that ends, and can be asked for nothing more.
 */
const serve = (victim: Victim): 'served' | 'refused' | 'given-up' => {
  using owner = InjectedOwner.open(victim.pid);
  try {
    owner.together(() => {
      owner.closeDescriptor(owner.createDevice(victim.report.vmFd, KVM_DEV_TYPE_VFIO));
    });
    return 'served';
  } catch (error) {
    const {code} = error as Failure;
    if (code === 'OWNER_NO_THREAD') return 'refused';
    if (code === 'OWNER_NO_ANSWER' && String(error).includes(UNSTOPPABLE_CALL)) return 'given-up';
    throw error;
  }
};

describe('An owner whose only thread waits in', function () {
  this.timeout(120_000);
  let arena: Arena;

  made(function () {
    needs(this, ...VICTIM);
    arena = new Arena();
    arena.compile('calls', [], fileURLToPath(new URL('../../zoo/calls.c', import.meta.url)));
    return arena;
  });
  afterEach(() => {
    arena.clear();
  });

  const waits = async (victim: Victim): Promise<void> => {
    const process = new Process(victim.pid);
    while (process.status().state !== 'S') await setTimeout(1);
  };

  for (const call of STOPPABLE) {
    it(`${call} is served, and sees no end of that which is not its own`, async () => {
      const victim = await arena.victim([call], {program: 'calls'});
      for (let round = 0; round < 3; round += 1) {
        await waits(victim);
        assert.equal(serve(victim), 'served');
        await victim.isWell();
      }
    });
  }

  for (const call of WORKING) {
    it(`nothing, and works in ${call}, is served or refused, and sees no end of that which is not its own`, async () => {
      const victim = await arena.victim([call], {program: 'calls'});
      for (let round = 0; round < 20; round += 1) if (serve(victim) === 'given-up') return;
      await victim.isWell();
    });
  }

  for (const call of NOT_STOPPABLE) {
    it(`${call} is served between two of these, or refused, and sees no end of it that is not its own`, async () => {
      const victim = await arena.victim([call], {program: 'calls'});
      for (let round = 0; round < 3; round += 1) {
        await waits(victim);
        if (serve(victim) === 'given-up') return;
        await victim.isWell();
      }
    });

    it(`${call} is served through another thread`, async () => {
      const victim = await arena.victim([call, 'free'], {program: 'calls'});
      await waits(victim);
      assert.equal(serve(victim), 'served');
      await victim.isWell();
    });
  }

  it('a call that a stop is safe in, and goes on to one that it would end for good, is stopped only after that', async () => {
    const victim = await arena.victim(['read, terminal'], {program: 'calls'});
    const {pid} = victim;
    const owner = new Process(pid);
    const sites = findCodeSites(owner.maps(), (start, size) => owner.memory(start, size));
    assert.ok(sites);
    using memory = new ProcessMemory(pid, 128);
    const spare = spareMemory(owner, memory);
    assert.ok(typeof spare !== 'string');
    const chosen = (): Candidate => {
      for (;;) {
        const options = {gathers: () => true, running: new RunningThreads()};
        // it waits for its child, or has just come from there
        for (const task of threadCandidates(owner, options))
          if (task.syscall?.kind === 'syscall') return task;
      }
    };
    for (let round = 0; round < rounds(5); round += 1) {
      const {tid, mayStopNow} = chosen();
      const isReading = (): boolean => {
        const call = owner.syscall(tid);
        return call?.kind === 'syscall' && call.number === SYSCALLS_X64.read;
      };
      while (!isReading());
      const outcome = stopThread({
        ...{pid, tid, memory, sites, spare, filtered: false, suspendSeccomp: false, patience: 30_000},
        observe: () => undefined,
        mayStillBe: () => true,
        mayStopNow,
        isOwners: () => true,
      });
      if (outcome instanceof StoppedThread) outcome.release();
      await victim.isWell();
    }
  });

  it('a sleep that cannot say what is left of its time sees nothing of a stop at any time', async () => {
    const victim = await arena.victim(['nanosleep, constant rest'], {program: 'calls'});
    for (let round = 0; round < rounds(20); round += 1) {
      await setTimeout(Math.random() * 8);
      if (serve(victim) === 'given-up') return;
      await victim.isWell();
    }
  });
});

describe('What a stop does to a call', () => {
  const surroundings = {
    canWrite: (address: bigint) => address !== 0xbadn,
    gathers: (fd: number) => fd === 9,
  };
  const after = (name: keyof typeof SYSCALLS_X64, ...args: bigint[]) =>
    afterStop(SYSCALLS_X64[name], args, surroundings);

  it('depends on whether it can say what is left of its time', () => {
    assert.equal(after('nanosleep', 1n, 0n), 'restarts');
    assert.equal(after('nanosleep', 1n, 0x1000n), 'restarts');
    assert.equal(after('nanosleep', 1n, 0xbadn), 'ends-early');
    assert.equal(after('clock_nanosleep', 1n, 0n, 1n, 0xbadn), 'ends-early');
    assert.equal(after('ppoll', 0n, 0n, 0xbadn), 'fails');
  });

  it('may be that it ends early: with what it has, where it has taken part, or has made a file', () => {
    assert.equal(after('open', 1n, 0n), 'fails');
    assert.equal(after('open', 1n, 0o300n), 'ends-early');
    assert.equal(after('openat', 0n, 1n, 0o301n), 'ends-early');
    assert.equal(after('io_uring_enter', 3n, 0n, 1n, 1n), 'fails');
    assert.equal(after('io_uring_enter', 3n, 1n, 1n, 1n), 'ends-early');
    assert.equal(after('io_uring_enter', 3n, 0n, 0n, 4n), 'ends-early');
    assert.equal(after('io_uring_enter', 3n, 0n, 2n, 1n), 'ends-early');
    assert.equal(after('recvmmsg', 3n, 1n, 1n, 0n), 'fails');
    assert.equal(after('recvmmsg', 3n, 1n, 2n, 0n), 'ends-early');
    assert.equal(after('recvmmsg', 3n, 1n, 1n, 0x100n), 'ends-early');
    assert.equal(after('connect', 3n), 'ends-early');
  });

  it('depends on whether a descriptor gives less than is asked for', () => {
    for (const name of ['read', 'readv', 'preadv2', 'recvfrom', 'recvmsg'] as const) {
      assert.equal(after(name, 3n, 1n, 0n, 0n), 'fails', name);
      assert.equal(after(name, 9n, 1n, 0n, 0n), 'ends-early', name);
    }
  });

  it('is not known of others, ioctl among them', () => {
    for (const name of ['ioctl', 'mmap', 'close'] as const) assert.equal(after(name), null);
  });
});
