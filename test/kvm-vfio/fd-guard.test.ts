import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {readdirSync} from 'node:fs';
import {createInterface} from 'node:readline';
import {changeVm} from '../../src/kvm-vfio/change.js';
import {apply, type Outcome} from '../../src/kvm-vfio/apply.js';
import {FdGuard} from '../../src/kvm-vfio/fd-guard.js';
import {detachPlan, type PlannedFile} from '../../src/kvm-vfio/plan.js';
import {Deadline} from '../../src/linux/deadline.js';
import {Descriptor} from '../../src/linux/descriptor.js';
import {O_RDWR, open} from '../../src/linux/libc.js';
import {commOf, Process} from '../../src/linux/proc/process.js';
import {ProcessLock, whoLocked} from '../../src/linux/lock/process-lock.js';
import {InjectedOwner} from '../../src/owner/inject/injected-owner.js';
import {descriptors} from '../support/descriptors.js';
import {made} from '../support/made.js';
import {needs, VICTIM} from '../support/needs.js';
import {Arena} from '../owner/inject/victim.js';
import {failsWith} from '../vm/vmm.js';

const CREATE = {command: 'create', ifMissing: false} as const;

const options = (timeout: number): Parameters<typeof changeVm>[2] => ({
  via: 'inject',
  deadline: Deadline.after(timeout),
  patience: 5000,
  wait: false,
  deviceFd: undefined,
  dryRun: false,
});

/** Locks each of its arguments that it may open, says how many those are, and keeps them. */
const LOCK_ALL = `
for file; do
  if exec {fd}< "$file" && flock --nonblock $fd; then count=$((count + 1)); fi
done 2> /dev/null
echo $count
exec sleep 1000`;

describe('An owner that more than one kvfio, or the VMM itself, changes', function () {
  this.timeout(60_000);
  let arena: Arena;
  made(function () {
    needs(this, ...VICTIM);
    return (arena = new Arena());
  });

  it('is left alone while another kvfio is at work, which is named when that takes too long', async () => {
    const {pid, report} = await arena.victim(['poll']);
    const create = (timeout: number): ReturnType<typeof changeVm> =>
      changeVm({pid, vmFd: report.vmFd}, CREATE, options(timeout));
    const path = ProcessLock.pathOf(pid);
    const lock = ProcessLock.tryTake(pid);
    assert.ok(lock !== null);
    assert.equal(ProcessLock.tryTake(pid), null);
    assert.equal(whoLocked(path)?.pid, process.pid);
    await failsWith(
      create(50),
      'OWNER_IN_USE',
      124,
      new RegExp(`Process ${process.pid} \\(${commOf(process.pid)}\\)`),
    );
    const later = create(10_000);
    setTimeout(() => {
      lock[Symbol.dispose]();
    }, 100);
    assert.equal((await later).changed, true);
    assert.equal(whoLocked(path), null);
  });

  it('is not kept from kvfio by a stranger who locks what everybody may open', async () => {
    const {pid, report} = await arena.victim(['poll']);
    const folder = `/proc/${pid}`;
    const names = ['', ...readdirSync(folder), 'task', `task/${pid}`].map((name) => `${folder}/${name}`);
    const stranger = spawn('bash', ['-c', LOCK_ALL, 'bash', ...names], {
      uid: 65534,
      gid: 65534,
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    try {
      const [locked] = (await once(createInterface(stranger.stdout), 'line')) as [string];
      assert.ok(Number(locked) > 5, `he has locked ${locked}`);
      const created = await changeVm({pid, vmFd: report.vmFd}, CREATE, options(5000));
      assert.equal(created.changed, true);
    } finally {
      stranger.kill('SIGKILL');
    }
  });

  it('names a holder of its lock that is no kvfio as what it is', async () => {
    const {pid, report} = await arena.victim(['poll']);
    const holder = spawn(
      'flock',
      ['--no-fork', ProcessLock.pathOf(pid), 'sh', '-c', 'echo; exec sleep 1000'],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    );
    try {
      await once(holder.stdout, 'data');
      const created = changeVm({pid, vmFd: report.vmFd}, CREATE, options(50));
      await failsWith(
        created,
        'OWNER_IN_USE',
        124,
        new RegExp(`Process ${holder.pid} \\(sleep\\) has its lock`),
      );
    } finally {
      holder.kill('SIGKILL');
    }
  });

  it('keeps what it has under a number that was of another file when kvfio looked', async () => {
    const victim = await arena.victim(['poll']);
    const before = descriptors();
    {
      using owner = InjectedOwner.open(victim.pid);
      using nothing = new Descriptor(open('/dev/null', O_RDWR));
      using zeros = new Descriptor(open('/dev/zero', O_RDWR));
      const {vmFd} = victim.report;
      const device = new Process(process.pid).deviceOf(nothing.fd);
      const fd = owner.giveDescriptor(nothing);
      assert.throws(() => FdGuard.of(owner, [{fd, kind: 'kvm-vfio'}]), {code: 'OWNER_CHANGED'});
      assert.throws(() => FdGuard.of(owner, [{fd: 4711, kind: {device}}]), {code: 'OWNER_CHANGED'});
      using known = FdGuard.of(owner, [{fd, kind: {device}}]);
      const file: PlannedFile = {
        name: 'group 12',
        node: {kind: 'group', group: 12, path: '/dev/null', device},
        fd,
        given: true,
        container: 'none',
      };
      const close = (): Outcome =>
        apply(detachPlan({device: null, files: [file]}, false), {
          owner,
          vmFd,
          check: (number) => {
            known.check(number);
          },
          open: () => assert.fail('nothing is to be opened'),
        });
      owner.closeDescriptor(fd);
      assert.throws(close, {code: 'OWNER_CHANGED', exitCode: 5});
      assert.equal(owner.giveDescriptor(zeros), fd);
      assert.throws(close, {code: 'OWNER_CHANGED', exitCode: 5});
      assert.ok(victim.descriptors().includes(`${fd} /dev/zero`));
      owner.closeDescriptor(fd);
    }
    assert.deepEqual(descriptors(), before);
  });
});
