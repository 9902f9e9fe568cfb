import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {join} from 'node:path';
import type {RequestedChange} from '../../src/kvm-vfio/change-report.js';
import {changeVm, type ChangeOptions} from '../../src/kvm-vfio/change.js';
import {vmStatus} from '../../src/kvm-vfio/status.js';
import {Deadline} from '../../src/linux/deadline.js';
import {Process} from '../../src/linux/proc/process.js';
import {made} from '../support/made.js';
import {needs, VICTIM} from '../support/needs.js';
import {PROJECT} from '../support/run.js';
import {descriptors} from '../support/descriptors.js';
import {compile, failsWith, scratch, startVmm, type Vmm} from '../vm/vmm.js';

const CREATE: RequestedChange = {command: 'create', ifMissing: false};

const options = (more: Partial<ChangeOptions> = {}): ChangeOptions => ({
  via: 'inject',
  deadline: Deadline.after(10_000),
  patience: 10_000,
  wait: false,
  deviceFd: undefined,
  dryRun: false,
  ...more,
});

describe('changing a VM that several processes have, or that is one of several', function () {
  this.timeout(60_000);
  let folder: ReturnType<typeof scratch>;
  let sockets = 0;
  made(function () {
    needs(this, ...VICTIM);
    return (folder = scratch());
  });
  before(() => {
    compile(join(PROJECT, 'test/vm/inheriting-vmm.c'), folder.path('vmm'));
  });
  const launch = async (...argv: string[]): Promise<Vmm & {socket: string}> => {
    const socket = folder.path(`${(sockets += 1)}.sock`);
    return {...(await startVmm([folder.path('vmm'), socket, ...argv])), socket};
  };
  const devices = (pid: number): number[] =>
    [...new Process(pid).descriptors()].flatMap(([fd, link]) => (link === 'anon_inode:kvm-vfio' ? [fd] : []));

  it('has the creator do it when a process that only inherited serves the socket', async () => {
    await using vmm = await launch();
    const before = descriptors();
    const created = await changeVm({socket: vmm.socket}, CREATE, options());
    assert.deepEqual([created.vm.pid, created.changed], [vmm.pid, true]);
    assert.deepEqual(devices(vmm.pid), [created.device.fd]);
    const again = await changeVm({socket: vmm.socket}, {command: 'create', ifMissing: true}, options());
    assert.deepEqual([again.vm.pid, again.changed, again.device.fd], [vmm.pid, false, created.device.fd]);
    const status = await vmStatus({socket: vmm.socket}, {...options(), verify: true});
    assert.deepEqual([status.vm.pid, status.device.fd], [vmm.pid, created.device.fd]);
    assert.deepEqual(descriptors(), before);
  });

  it('foresees in a dry run that the owner cannot be made to act, and leaves it alone', async () => {
    compile(join(PROJECT, 'test/owner/inject/stacks-and-limits.c'), folder.path('limited'));
    const child = spawn('prlimit', ['--as=1073741824', folder.path('limited'), 'plain'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    try {
      const vmFd = Number(String((await once(child.stdout, 'data'))[0]));
      for (const dryRun of [true, false])
        await failsWith(
          changeVm({pid: child.pid ?? -1, vmFd}, CREATE, options({dryRun})),
          'OWNER_ADDRESS_SPACE_LIMIT',
          5,
        );
    } finally {
      child.kill('SIGKILL');
    }
  });

  it('says that a process did not create the VM when only that one is asked', async () => {
    await using vmm = await launch();
    await failsWith(
      changeVm({socket: vmm.socket}, CREATE, options({via: 'agent'})),
      'KERNEL_EIO',
      6,
      /did not create this VM/,
    );
    assert.deepEqual(devices(vmm.pid), []);
  });

  it('does not guess which device belongs to which VM, and takes the word of its user', async () => {
    await using vmm = await launch('2');
    const {pid} = vmm;
    const vms = [...new Process(pid).descriptors()].flatMap(([fd, link]) =>
      link === 'anon_inode:kvm-vm' ? [fd] : [],
    );
    const [first, , second] = vms; // each has a duplicate
    const one = await changeVm({pid, vmFd: first}, CREATE, options());
    const attach: RequestedChange = {command: 'detach', files: 'all', closeDevice: true};
    await failsWith(changeVm({pid, vmFd: first}, attach, options()), 'SEVERAL_DEVICES', 2);
    const status = await vmStatus({pid, vmFd: first}, {...options(), verify: false});
    assert.deepEqual([status.device.fd, status.device.all], [null, [one.device.fd]]);
    assert.equal(status.warnings[0]?.code, 'SEVERAL_DEVICES');

    const two = await changeVm({pid, vmFd: second}, CREATE, options());
    await failsWith(changeVm({pid, vmFd: second}, CREATE, options()), 'KERNEL_EBUSY', 6);
    const deviceFd = one.device.fd ?? -1;
    const closed = await changeVm({pid, vmFd: first}, attach, options({deviceFd}));
    assert.equal(closed.device.state, 'closed');
    assert.deepEqual(devices(pid), [two.device.fd]);
  });
});
