import assert from 'node:assert/strict';
import {once} from 'node:events';
import {setTimeout} from 'node:timers/promises';
import {KVM_DEV_TYPE_VFIO} from '../../../src/linux/ioctl.js';
import {made} from '../../support/made.js';
import {needs, VICTIM} from '../../support/needs.js';
import {STRIDE, rounds} from '../../support/pace.js';
import {firstLine, runChild, startChild} from './inject-child.js';
import {sweep, tidy} from './inject-sweep.js';
import {Arena, type Victim} from './victim.js';

/** In these a call of the victim is interrupted by the stop, and made again. */
const MODES = ['spin', 'poll', 'ppoll', 'nanosleep', 'futex', 'epoll', 'read', 'sigwait'];

describe('An owner whose kvfio is killed', function () {
  this.timeout(600_000);
  let arena: Arena;

  made(function () {
    needs(this, ...VICTIM);
    return (arena = new Arena());
  });
  afterEach(() => {
    arena.clear();
  });

  for (const mode of MODES) {
    it(`notices nothing in ${mode}, after whichever request of creating a device`, async () => {
      const requests = await sweep(arena, [mode], 'create', () => ({}));
      assert.ok(requests >= 14, `${requests} requests`);
    });
  }

  for (const mode of ['spin', 'nanosleep', 'read']) {
    it(`notices nothing in ${mode}, after whichever request of giving and adding a descriptor`, async () => {
      await sweep(arena, [mode], 'give and add', (owner, vmFd) => ({
        device: owner.createDevice(vmFd, KVM_DEV_TYPE_VFIO),
      }));
    });

    it(`notices nothing in ${mode}, after whichever request of deleting and closing`, async () => {
      await sweep(arena, [mode], 'delete and close', (owner, vmFd) => ({
        device: owner.createDevice(vmFd, KVM_DEV_TYPE_VFIO),
        fd: owner.giveDescriptor(owner.takeDescriptor(0)),
      }));
    });
  }

  for (const mode of ['poll', 'nanosleep', 'futex']) {
    it(`notices nothing in ${mode} when it is stopped for the second time in one call`, async () => {
      await sweep(arena, [mode], 'create', () => ({before: 1}));
    });
  }

  it('notices nothing when it is linked statically', async () => {
    arena.compile('static', ['-static']);
    await sweep(arena, ['poll'], 'create', () => ({}), 'static');
  });

  it('notices nothing when kvfio is killed at any time', async () => {
    const victim = await arena.victim(['spin']);
    const before = victim.descriptors();
    for (let round = 0; round < rounds(60); round += 1) {
      const child = startChild({pid: victim.pid, vmFd: victim.report.vmFd, work: 'for ever'});
      await firstLine(child);
      await setTimeout((round * 7) % 40);
      child.kill('SIGKILL');
      await once(child, 'exit');
      await victim.isWell();
      await tidy(victim, before);
    }
    victim.kill();
  });

  it('is killed by a seccomp filter only if that forbids the call, was to be suspended, and kvfio dies between making it another call and its entry', async () => {
    const task = {work: 'create', suspendSeccomp: true} as const;
    const {requests = []} = await withVictim(arena, ['poll', 'filtered'], (victim) =>
      runChild({pid: victim.pid, vmFd: victim.report.vmFd, ...task}),
    );
    assert.ok(requests.length > 0);
    const isMadeAnotherCall = (at: number): boolean =>
      requests[at - 1] === 'PTRACE_SETREGS' && requests[at] === 'PTRACE_SYSCALL';
    const fates: string[] = [];
    for (let dieAfter = 1; dieAfter <= requests.length; dieAfter += 1) {
      // when it was let run, it depends on the scheduler whether it has entered the call
      if (isMadeAnotherCall(dieAfter - 1)) continue;
      await withVictim(arena, ['poll', 'filtered'], async (victim) => {
        await runChild({pid: victim.pid, vmFd: victim.report.vmFd, dieAfter, ...task});
        if (isMadeAnotherCall(dieAfter)) fates.push(await victim.ended());
        else await victim.isWell();
      });
    }
    assert.deepEqual(fates, ['SIGSYS']);
  });

  it('lives on with a seccomp filter that forbids the call, which is then refused', async () => {
    await withVictim(arena, ['poll', 'filtered'], async (victim) => {
      const answer = await runChild({pid: victim.pid, vmFd: victim.report.vmFd, work: 'create'});
      assert.equal(answer.failure?.code, 'OWNER_SECCOMP_CALL');
      const requests = answer.requests?.length ?? 0;
      assert.ok(requests > 0);
      for (let dieAfter = 1; dieAfter <= requests; dieAfter += STRIDE) {
        await runChild({pid: victim.pid, vmFd: victim.report.vmFd, work: 'create', dieAfter});
        await victim.isWell();
      }
    });
  });
});

const withVictim = async <T>(
  arena: Arena,
  args: string[],
  use: (victim: Victim) => Promise<T>,
): Promise<T> => {
  const victim = await arena.victim(args);
  try {
    return await use(victim);
  } finally {
    victim.kill();
  }
};
