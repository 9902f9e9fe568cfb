import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {mkdirSync, readlinkSync, rmdirSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {diffVms} from '../../src/kvm-vfio/diff-vms.js';
import {listVms, type ListedVm, type VmsDocument} from '../../src/kvm-vfio/vms.js';
import {KVM_DEV_TYPE_VFIO} from '../../src/linux/ioctl.js';
import {Kvm} from '../../src/kvm/system.js';
import {amd, intel, machine, pci, type Machine, type MachineSpec} from '../support/machine.js';
import {needs} from '../support/needs.js';
import {PROJECT} from '../support/run.js';
import {writeProcesses, type ProcessSpec} from '../support/processes.js';
import {compile, scratch, startKvfioVm, startVmm} from '../vm/vmm.js';

const VM = 'anon_inode:kvm-vm';
const DEVICE = 'anon_inode:kvm-vfio';

/** Device numbers of nodes that every machine has: what counts is the number, not the path. */
const NULL_DEVICE = '1:3';
const ZERO_DEVICE = '1:5';

/** A machine with VFIO's groups 12 (/dev/null) and 13 (/dev/zero), and processes. */
const host = (
  processes: readonly ProcessSpec[],
  {ecap = 'f00f4a', ...spec}: MachineSpec & {ecap?: string} = {},
): Machine => {
  const made = machine({
    units: {dmar0: intel(ecap), ivhd0: amd()},
    groups: {
      12: [pci('0000:07:00.0', {unit: 'dmar0', driver: 'vfio-pci', vfio: ['vfio0']})],
      13: [pci('0000:08:00.0', {unit: 'ivhd0', driver: 'vfio-pci', vfio: ['vfio1']})],
    },
    ...spec,
  });
  const write = (path: string, text: string): void => {
    mkdirSync(join(made.root, path, '..'), {recursive: true});
    writeFileSync(join(made.root, path), text);
  };
  write('sys/class/vfio/12/dev', `${NULL_DEVICE}\n`);
  write('sys/class/vfio/13/dev', `${ZERO_DEVICE}\n`);
  write('sys/module/kvm_intel/refcnt', '1\n');
  write('proc/uptime', '100.50 20.00\n');
  write('etc/passwd', 'root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/:/bin/sh\nbroken\n');
  writeProcesses(made.root, processes);
  return made;
};

const list = async (...given: Parameters<typeof host>): Promise<VmsDocument> => {
  using made = host(...given);
  return await listVms(made.root);
};

const only = ({vms: [vm, ...others]}: VmsDocument): ListedVm => {
  assert.ok(vm);
  assert.deepEqual(others, []);
  return vm;
};

describe('listing the VMs of a host', () => {
  it('tells all that /proc shows of one', async () => {
    const document = await list([
      {pid: 1, comm: 'init', fds: {0: '/dev/null'}},
      {
        pid: 4711,
        comm: 'qemu-system-x86',
        cmdline: ['/usr/bin/qemu-system-x86_64', '-name', 'guest=web,debug-threads=on'],
        uid: 1000,
        start: 2500,
        memory: [2048, 1024],
        seccomp: {4711: 2},
        fds: {
          0: '/dev/zero', // group 13
          9: '/dev/kvm',
          10: VM,
          11: 'anon_inode:kvm-vcpu:0',
          12: 'anon_inode:kvm-vcpu:1',
          13: DEVICE,
          14: '/dev/null', // group 12
          15: '/dev/null',
          16: 'socket:[1]',
        },
      },
    ]);
    assert.deepEqual([document.looked, document.hidden, document.warnings], [2, 0, []]);
    assert.deepEqual(only(document), {
      pid: 4711,
      fd: 10,
      proven: false,
      holders: [],
      command: 'qemu-system-x86',
      vmm: 'qemu',
      name: 'web',
      nameFrom: '-name',
      uid: 1000,
      user: 'alice',
      vcpus: 2,
      memory: {resident: 2048 * 1024, hugetlb: 1024 * 1024},
      threads: 1,
      seccomp: 'filter',
      age: 76,
      vmsOfOwner: 1,
      device: {fd: 13, all: [13]},
      groups: [
        {group: 12, fd: 14, devices: ['0000:07:00.0'], verdict: 'not-enforced', confidence: 'exact'},
        {group: 13, fd: 0, devices: ['0000:08:00.0'], verdict: 'enforced', confidence: 'exact'},
      ],
      cdevs: [],
      coherency: {
        state: 'non-coherent',
        wbinvd: 'WBINVD is executed on every CPU the vCPU has dirtied, guest PAT honoured',
        assumes: 'all-held',
      },
    });
  });

  it('predicts coherency by what is held, the device and the unit', async () => {
    const states = async (
      fds: Record<number, string>,
      spec?: Parameters<typeof host>[1],
    ): Promise<unknown[]> => {
      const {coherency} = only(await list([{pid: 9, fds: {3: VM, ...fds}}], spec));
      return [coherency.state, coherency.assumes];
    };
    assert.deepEqual(await states({}), ['coherent', 'nothing']);
    assert.deepEqual(await states({4: DEVICE}), ['coherent', 'nothing']);
    assert.deepEqual(await states({5: '/dev/null'}), ['coherent', 'nothing'], 'nothing can be registered');
    assert.deepEqual(await states({4: DEVICE, 5: '/dev/null'}), ['non-coherent', 'all-held']);
    assert.deepEqual(await states({4: DEVICE, 5: '/dev/zero'}), ['coherent', 'all-held']);
    assert.deepEqual(await states({4: DEVICE, 5: '/dev/null'}, {ecap: 'f00fca'}), ['coherent', 'all-held']);
    // before 6.2 the container decides, which is not seen of another machine's process
    assert.deepEqual(await states({4: DEVICE, 5: '/dev/null'}, {release: '6.1.0-40-amd64'}), [
      'unknown',
      'all-held',
    ]);
  });

  it('knows devices that are open through /dev/vfio/devices', async () => {
    using made = host([{pid: 9, fds: {3: VM, 4: DEVICE, 5: '/dev/full'}}]);
    writeFileSync(join(made.root, 'sys/class/vfio-dev/vfio0/dev'), '1:7\n');
    const vm = only(await listVms(made.root));
    assert.deepEqual(vm.groups, []);
    assert.deepEqual(vm.cdevs, [
      {
        name: 'vfio0',
        group: 12,
        fd: 5,
        devices: ['0000:07:00.0'],
        verdict: 'not-enforced',
        confidence: 'exact',
      },
    ]);
    assert.deepEqual([vm.coherency.state, vm.coherency.assumes], ['non-coherent', 'all-held']);
  });

  it('lists each VM of a process, without guessing what belongs to which', async () => {
    const {vms} = await list([
      {pid: 9, fds: {3: VM, 4: VM, 5: DEVICE, 6: 'anon_inode:kvm-vcpu:0', 7: '/dev/null'}},
    ]);
    assert.deepEqual(
      vms.map(({fd, vcpus, device, vmsOfOwner, groups, coherency}) => [
        fd,
        vcpus,
        device,
        vmsOfOwner,
        groups.length,
        coherency.state,
      ]),
      [3, 4].map((fd) => [fd, null, {fd: null, all: [5]}, 2, 1, 'unknown']),
    );
  });

  it('finds the one thread of hundreds that has a seccomp filter', async () => {
    const threads = Object.fromEntries(Array.from({length: 500}, (_, at) => [100 + at, 0]));
    using made = host([{pid: 100, fds: {3: VM}, seccomp: threads}]);
    const none = only(await listVms(made.root));
    assert.deepEqual([none.seccomp, none.threads], ['none', 500]);
    writeFileSync(made.path('proc/100/task/599/status'), 'Seccomp:\t2\n');
    assert.equal(only(await listVms(made.root)).seccomp, 'filter');
    assert.equal(only(await list([{pid: 100, fds: {3: VM}, seccomp: {100: 1}}])).seccomp, 'strict');
  });

  it('passes over processes that end while they are read', async () => {
    const lasting = {pid: 12, fds: {3: VM}};
    for (const without of [
      ['status'],
      ['stat'],
      ['comm'],
      ['cmdline'],
      ['fd'],
      ['task'],
      ['status', 'stat', 'comm'],
    ]) {
      const document = await list([{pid: 11, fds: {3: VM}, without}, lasting]);
      const pids = document.vms.map(({pid}) => pid);
      assert.deepEqual(pids, [12], `without ${without.join(', ')}`);
      assert.equal(document.hidden, 0);
    }
  });

  it('says what changed between two looks', async () => {
    const before = await list([
      {pid: 1, fds: {3: VM}},
      {pid: 2, fds: {3: VM}},
      {pid: 3, fds: {3: VM}},
    ]);
    const after = await list([
      {pid: 2, fds: {3: VM, 4: DEVICE}},
      {pid: 3, fds: {3: VM}, memory: [9999, 0], start: 1},
      {pid: 4, fds: {3: VM}},
    ]);
    assert.deepEqual(
      diffVms(before.vms, after.vms).map(({event, vm}) => [event, vm.pid]),
      [
        ['gone', 1],
        ['changed', 2],
        ['appeared', 4],
      ],
    );
    assert.deepEqual(diffVms(after.vms, after.vms), []);
    // as a kvfio that works on it has the VM for a moment
    const held = after.vms.map((vm) => ({...vm, holders: [4711]}));
    assert.deepEqual(diffVms(after.vms, held), []);
  });

  it('comes back to where it was started', async () => {
    const folder = process.cwd();
    await listVms();
    assert.equal(process.cwd(), folder);
    await assert.rejects(() => listVms('/nonexistent'));
    assert.equal(process.cwd(), folder);
    using gone = scratch();
    mkdirSync(gone.path('gone'));
    try {
      process.chdir(gone.path('gone'));
      rmdirSync(gone.path('gone'));
      await listVms();
      assert.match(readlinkSync('/proc/self/cwd'), /gone \(deleted\)$/);
    } finally {
      process.chdir(folder);
    }
  });
});

describe('listing the VMs of this host', function () {
  this.timeout(60_000);
  before(function () {
    needs(this, 'build', 'cc', 'kvm');
  });

  const of = async (pid: number): Promise<ListedVm[]> => (await listVms()).vms.filter((vm) => vm.pid === pid);

  it('sees two VMs of one process, and their devices and vCPUs as far as can be told', async () => {
    using kvm = Kvm.open();
    using one = kvm.createVm();
    using two = kvm.createVm();
    assert.deepEqual(
      (await of(process.pid)).map(({fd, device}) => [fd, device.all]),
      [
        [one.fd, []],
        [two.fd, []],
      ],
    );
    using device = two.createDevice(KVM_DEV_TYPE_VFIO);
    for (const vm of await of(process.pid)) {
      assert.deepEqual([vm.device, vm.vmsOfOwner], [{fd: null, all: [device.fd]}, 2]);
    }
  });

  it('shows a VM that a child has inherited once, as the VM of the process that began first', async () => {
    using folder = scratch();
    compile(join(import.meta.dirname, '../vm/inheriting-vmm.c'), folder.path('vmm'));
    await using vmm = await startVmm([folder.path('vmm'), folder.path('sock')]);
    const {vms} = await listVms();
    const [vm, ...others] = vms.filter(({pid, holders}) => pid === vmm.pid || holders.includes(vmm.pid));
    assert.ok(vm);
    assert.deepEqual(others, []);
    assert.equal(vm.pid, vmm.pid);
    assert.equal(vm.holders.length, 1);
  });

  it('is no holder itself of a VM whose descriptor it was started with', async () => {
    using kvm = Kvm.open();
    using one = kvm.createVm();
    const child = spawn(process.execPath, [join(PROJECT, 'bin/run.js'), 'vms', '--json'], {
      stdio: ['ignore', 'pipe', 'ignore', one.fd],
    });
    assert.ok(child.stdout);
    const text = (await child.stdout.toArray()).join('');
    const found = (JSON.parse(text) as VmsDocument).vms.find(({pid}) => pid === process.pid);
    assert.deepEqual(found?.holders, []);
  });

  it('knows a real QEMU by its name, vCPUs and seccomp filter', async function () {
    needs(this, 'x64', 'qemu-system-x86_64');
    const child = spawn(
      'qemu-system-x86_64',
      [
        ...[
          '-accel',
          'kvm',
          '-machine',
          'q35',
          '-m',
          '64',
          '-smp',
          '2',
          '-S',
          '-nodefaults',
          '-display',
          'none',
        ],
        ...['-name', 'guest=a,,b,debug-threads=on', '-sandbox', 'on'],
      ],
      {stdio: 'ignore'},
    );
    const ended = once(child, 'exit');
    try {
      let vm: ListedVm | undefined;
      while (vm?.vcpus !== 2 || vm.seccomp !== 'filter') {
        assert.equal(child.exitCode, null, 'QEMU goes on');
        await new Promise((resolve) => setTimeout(resolve, 20));
        [vm] = await of(child.pid ?? -1);
      }
      assert.deepEqual([vm.vmm, vm.name, vm.nameFrom], ['qemu', 'a,b', '-name']);
      assert.deepEqual([vm.device.all, vm.groups, vm.coherency.state], [[], [], 'coherent']);
      assert.ok((vm.threads ?? 0) >= 3);
    } finally {
      child.kill('SIGKILL');
      await ended;
    }
  });

  it('keeps going while VMs come and go', async () => {
    await using vm = await startKvfioVm(['--sock', `@kvfio-vms-${process.pid}`]);
    using folder = scratch();
    compile('example-vmm.c', folder.path('vmm'));
    const ended: Promise<unknown>[] = [];
    let started = 0;
    const timer = setInterval(() => {
      const child = spawn(folder.path('vmm'), [folder.path(`${(started += 1)}.sock`)], {stdio: 'ignore'});
      ended.push(new Promise((resolve) => child.once('exit', resolve)));
      setTimeout(() => child.kill('SIGKILL'), 3 + (started % 20));
    }, 10);
    try {
      for (let round = 0; round < 25; round += 1) {
        const {vms} = await listVms();
        assert.ok(
          vms.some(({pid}) => pid === vm.pid),
          'the VM that stays is in every list',
        );
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    } finally {
      clearInterval(timer);
      await Promise.all(ended);
    }
    assert.ok(started > 5);
  });
});
