import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import {mkdirSync} from 'node:fs';
import {Deadline} from '../../src/linux/deadline.js';
import {sameFile} from '../../src/linux/proc/kcmp.js';
import {Kvm} from '../../src/kvm/system.js';
import {KVM_DEV_TYPE_VFIO} from '../../src/linux/ioctl.js';
import {parseProcessStart, processStart} from '../../src/linux/proc/start-time.js';
import {Process} from '../../src/linux/proc/process.js';
import {AgentClient} from '../../src/owner/agent/client.js';
import {findOwners, holdsVm, vmOfProcess} from '../../src/vm/find-owner.js';
import {receiveVm} from '../../src/vm/receive-vm.js';
import {descriptors} from '../support/descriptors.js';
import {made} from '../support/made.js';
import {needs} from '../support/needs.js';
import {skip} from '../support/skip.js';
import {compile, failsWith, scratch, startVmm, type Vmm} from './vmm.js';

/** No debugfs here, so that nothing is proven. */
const NOWHERE = '/nonexistent';

describe('finding the owner of a VM', function () {
  this.timeout(60_000);
  let folder: ReturnType<typeof scratch>;
  made(function () {
    needs(this, 'cc', 'kvm');
    return (folder = scratch());
  });
  before(() => {
    compile('example-vmm.c', folder.path('example-vmm'));
    compile(`${import.meta.dirname}/inheriting-vmm.c`, folder.path('inheriting-vmm'));
  });

  let sockets = 0;
  const launch = (program: string, ...argv: string[]): Promise<Vmm & {socket: string}> => {
    sockets += 1;
    const socket = folder.path(`${sockets}.sock`);
    return startVmm([folder.path(program), socket, ...argv]).then((vmm) => ({...vmm, socket}));
  };
  const deadline = (): Deadline => Deadline.after(10_000);

  it('tells the VMs of two processes of one program apart', async () => {
    await using one = await launch('example-vmm');
    await using two = await launch('example-vmm');
    for (const {socket, pid} of [two, one]) {
      using received = await receiveVm(socket, {deadline: deadline()});
      const found = findOwners(received.vm);
      assert.deepEqual(
        found.map((each) => [each.pid, each.comm]),
        [[pid, 'example-vmm']],
      );
      assert.ok(sameFile(process.pid, received.vm.fd, pid, found[0].vmFd));
      assert.equal(found[0].vmFd, received.agent?.vmFd);
      assert.equal(holdsVm(received.vm, found[0]), true);
      assert.equal(holdsVm(received.vm, {pid, vmFd: 0}), false);
    }
    using received = await receiveVm(one.socket, {deadline: deadline()});
    const [owner] = findOwners(received.vm);
    await one.end('SIGKILL');
    assert.equal(holdsVm(received.vm, owner), false);
    await failsWith(() => findOwners(received.vm), 'OWNER_GONE', 3, /No other process/);
  });

  it('puts the process that created a VM before one that inherited it, and the hinted one before all', async () => {
    await using vmm = await launch('inheriting-vmm');
    const [parent = 0, child = 0] = (vmm.line.match(/\d+/g) ?? []).map(Number);
    assert.equal(parent, vmm.pid);
    using received = await receiveVm(vmm.socket, {deadline: deadline()});
    const pids = (hint?: number): number[] =>
      findOwners(received.vm, {debugfs: NOWHERE, ...(hint === undefined ? {} : {hint})}).map(({pid}) => pid);
    assert.deepEqual(pids(), [parent, child]);
    assert.deepEqual(pids(child), [child, parent]);
    assert.ok(findOwners(received.vm, {debugfs: NOWHERE}).every(({proven}) => !proven));
  });

  it('needs no guess where KVM names the creator in debugfs', async function () {
    const debugfs = folder.path('debugfs');
    mkdirSync(debugfs, {recursive: true});
    const mounted = spawnSync('mount', ['-t', 'debugfs', 'none', debugfs]).status === 0;
    if (!mounted) skip(this, 'debugfs cannot be mounted');
    try {
      await using vmm = await launch('inheriting-vmm');
      using received = await receiveVm(vmm.socket, {deadline: deadline()});
      const found = findOwners(received.vm, {debugfs, hint: received.peer.pid});
      assert.deepEqual(
        found.map(({pid, proven}) => [pid, proven]),
        [[vmm.pid, true]],
      );
    } finally {
      spawnSync('umount', [debugfs]);
    }
  });

  it('is harmless to a process that only inherited: KVM answers EIO before anything else', async () => {
    await using vmm = await launch('inheriting-vmm');
    using received = await receiveVm(vmm.socket, {deadline: deadline()});
    using agent = new AgentClient(received);
    assert.throws(() => agent.createDevice(agent.vmFd, KVM_DEV_TYPE_VFIO), {
      message: 'ioctl(KVM_CREATE_DEVICE): EIO',
    });
  });

  it('takes the one VM of a process that is named, however often it is duplicated', async () => {
    await using vmm = await launch('inheriting-vmm');
    const before = descriptors();
    {
      using vm = vmOfProcess(vmm.pid);
      assert.deepEqual(findOwners(vm, {hint: vmm.pid})[0].pid, vmm.pid);
    }
    assert.deepEqual(descriptors(), before);
  });

  it('refuses to guess between several VMs of a process', async () => {
    await using vmm = await launch('inheriting-vmm', '3');
    const vms = [...new Process(vmm.pid).descriptors()]
      .filter(([, link]) => link === 'anon_inode:kvm-vm')
      .map(([fd]) => fd);
    assert.equal(vms.length, 6);
    const [first = 0] = vms;
    await failsWith(
      () => vmOfProcess(vmm.pid),
      'SEVERAL_VMS',
      2,
      new RegExp(`descriptors ${first}, \\d+, \\d+\\.`),
    );
    using vm = vmOfProcess(vmm.pid, first);
    assert.ok(sameFile(process.pid, vm.fd, vmm.pid, first));
    await failsWith(() => vmOfProcess(vmm.pid, 0), 'NO_VM_IN_PROCESS', 3, /That is /);
    await failsWith(() => vmOfProcess(vmm.pid, 4711), 'NO_VM_IN_PROCESS', 3, /not open/);
  });

  it('says that a process has no VM, or is none', async () => {
    await failsWith(() => vmOfProcess(process.ppid), 'NO_VM_IN_PROCESS', 3);
    await failsWith(() => vmOfProcess(4_000_000), 'PROCESS_NOT_FOUND', 3);
  });

  it('says that another user may not look', async function () {
    needs(this, 'root');
    await using vmm = await launch('example-vmm');
    using kvm = Kvm.open();
    using vm = kvm.createVm();
    process.seteuid?.(65534);
    try {
      await failsWith(() => vmOfProcess(vmm.pid), 'PROCESS_NOT_PERMITTED', 4);
      await failsWith(() => findOwners(vm), 'OWNER_HIDDEN', 4, /whose descriptors you may not see/);
    } finally {
      process.seteuid?.(0);
    }
  });
});

describe('the start of a process', () => {
  it('is read behind a name that looks like anything', () => {
    const rest = Array.from({length: 40}, (_, index) => index + 3);
    assert.equal(parseProcessStart(`7 (a) S 1 (b)) ${rest.join(' ')}\n`), 22);
    for (const text of ['', '7 (a', '7 (a) S 1 2']) assert.equal(parseProcessStart(text), null);
  });

  it('is later for a child', () => {
    const own = processStart(process.pid);
    const parent = processStart(process.ppid);
    assert.ok(own !== null && parent !== null && parent <= own);
    assert.equal(processStart(4_000_000), null);
  });
});
