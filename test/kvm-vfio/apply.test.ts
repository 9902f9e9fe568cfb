import assert from 'node:assert/strict';
import {join} from 'node:path';
import {Failure} from '../../src/failure.js';
import {apply, type Outcome} from '../../src/kvm-vfio/apply.js';
import {addPlan, attachPlan, createPlan, deletePlan, detachPlan, type Plan} from '../../src/kvm-vfio/plan.js';
import type {PlannedFile} from '../../src/kvm-vfio/plan.js';
import {Deadline} from '../../src/linux/deadline.js';
import {Descriptor} from '../../src/linux/descriptor.js';
import {Kvm, type Vm} from '../../src/kvm/system.js';
import {O_RDWR, open} from '../../src/linux/libc.js';
import {Process} from '../../src/linux/proc/process.js';
import {DirectOwner} from '../../src/owner/direct-owner.js';
import {reachVm, type ReachedVm, type Via} from '../../src/owner/reach-owner.js';
import type {Owner} from '../../src/owner/owner.js';
import {made, madeForEach} from '../support/made.js';
import {needs, VICTIM} from '../support/needs.js';
import {compile, scratch, startKvfioVm, startVmm, type Vmm} from '../vm/vmm.js';

/** A character device that is not VFIO's: the kernel answers EINVAL to ADD and ENOENT to DEL. */
const NULL = '/dev/null';
const stranger = (fd: number | null): PlannedFile => ({
  name: 'group 12',
  node: {kind: 'group', group: 12, path: NULL, device: 0},
  fd,
  given: true,
  container: 'none',
});

/** A VM's owner, reached in one way. */
interface Subject extends AsyncDisposable {
  owner: Owner;
  vmFd: number;
  pid: number;
}

const PATIENCE = 10_000;

const reach = (socket: string, via: Via): Promise<ReachedVm> =>
  reachVm({socket}, {via, deadline: Deadline.after(PATIENCE), patience: PATIENCE, wait: true});

const direct = (): Subject => {
  using kvm = Kvm.open();
  const vm: Vm = kvm.createVm();
  const owner = new DirectOwner(vm);
  return {
    owner,
    vmFd: vm.fd,
    pid: process.pid,
    [Symbol.asyncDispose]: () => {
      owner[Symbol.dispose]();
      vm[Symbol.dispose]();
      return Promise.resolve();
    },
  };
};

const remote = async (vmm: Vmm, socket: string, via: 'agent' | 'inject'): Promise<Subject> => {
  const reached = await reach(socket, via);
  const owner = reached.open();
  assert.equal(reached.pid, vmm.pid);
  return {
    owner,
    vmFd: reached.vmFd,
    pid: vmm.pid,
    [Symbol.asyncDispose]: async () => {
      owner[Symbol.dispose]();
      reached[Symbol.dispose]();
      await vmm[Symbol.asyncDispose]();
    },
  };
};

describe('applying a plan', function () {
  this.timeout(60_000);
  let folder: ReturnType<typeof scratch>;
  made(function () {
    needs(this, 'build', 'cc', 'kvm');
    return (folder = scratch());
  });
  before(() => {
    compile('example-vmm.c', folder.path('example-vmm'));
  });

  let sockets = 0;
  const nextSocket = (): string => folder.path(`${(sockets += 1)}.sock`);
  const kvfioVm = async (via: 'agent' | 'inject'): Promise<Subject> => {
    const socket = nextSocket();
    return remote(await startKvfioVm(['--sock', socket]), socket, via);
  };
  const example = async (via: 'agent' | 'inject'): Promise<Subject> => {
    const socket = nextSocket();
    // prints nothing, so what it serves tells when it is ready
    const vmm = await startVmm(['sh', '-c', `echo; exec ${join(folder.path('.'), 'example-vmm')} ${socket}`]);
    return remote(vmm, socket, via);
  };

  const subjects: [string, 'direct' | 'agent' | 'inject', () => Promise<Subject>][] = [
    ["kvfio's own VM", 'direct', () => Promise.resolve(direct())],
    ['the agent of kvfio vm', 'agent', () => kvfioVm('agent')],
    ['the agent of a C program', 'agent', () => example('agent')],
    ['system calls in kvfio vm', 'inject', () => kvfioVm('inject')],
    ['system calls in a C program', 'inject', () => example('inject')],
  ];

  for (const [name, way, start] of subjects) {
    describe(`to ${name}`, () => {
      let subject: Subject;
      /** What could be left behind. Node has descriptors of its own that come and go. */
      const links = (): string[] =>
        [...new Process(subject.pid).descriptors().values()]
          .filter((link) => link.startsWith('anon_inode:kvm') || link.startsWith('/dev/'))
          .sort();
      const run = (plan: Plan): Outcome =>
        apply(plan, {
          owner: subject.owner,
          vmFd: subject.vmFd,
          open: ({node}) => new Descriptor(open(node.path, O_RDWR), node.path),
        });
      const fails = (plan: Plan, exit: number, errno: string, why: RegExp): void => {
        assert.throws(
          () => run(plan),
          (error) => {
            assert.ok(error instanceof Failure);
            assert.deepEqual([error.exitCode, error.errno], [exit, errno], error.message);
            assert.match(error.message, why);
            return true;
          },
        );
      };

      before(function () {
        if (way === 'inject') needs(this, ...VICTIM);
      });
      madeForEach(async () => (subject = await start()));

      it('creates the device once, is told EBUSY then, and closes it without a trace', () => {
        const before = links();
        const created = run(createPlan({device: null}, false));
        assert.equal(created.changed, true);
        const device = created.device ?? -1;
        assert.equal(new Process(subject.pid).descriptor(device), 'anon_inode:kvm-vfio');
        fails(createPlan({device}, false), 6, 'EBUSY', /has a kvm-vfio device already/);
        assert.equal(run(createPlan({device}, true)).changed, false);
        const closed = run(detachPlan({device, files: []}, true));
        assert.deepEqual([closed.closed, closed.device], [true, null]);
        assert.deepEqual(links(), before);
      });

      it('takes back the device that it made when the group is refused, and leaves nothing', () => {
        const before = links();
        fails(
          attachPlan({device: null, files: [stranger(null)]}),
          9,
          'EINVAL',
          /was not added\. All is as it was before\. .*EINVAL.* Undone: close the kvm-vfio device\./,
        );
        assert.deepEqual(links(), before);
      });

      it('says the same refusals without a roll-back when nothing had been changed', () => {
        const {device} = run(createPlan({device: null}, false));
        const before = links();
        fails(addPlan({device, files: [stranger(null)]}), 6, 'EINVAL', /does not accept it as a VFIO file/);
        fails(deletePlan({device, files: [stranger(null)]}), 6, 'ENOENT', /not registered/);
        fails(addPlan({device, files: [stranger(999)]}), 6, 'EBADF', /closed one of the descriptors/);
        assert.deepEqual(links(), before);
      });

      it('gives back a descriptor that is not registered', () => {
        using file = new Descriptor(open(NULL, O_RDWR), NULL);
        const {device} = run(createPlan({device: null}, false));
        const before = links();
        const fd = subject.owner.giveDescriptor(file);
        const detached = run(detachPlan({device, files: [stranger(fd)]}, false));
        assert.deepEqual(detached.files.get('group 12'), {fd: null, outcome: 'absent'});
        assert.deepEqual(links(), before);
      });
    });
  }
});
