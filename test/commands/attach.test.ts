import assert from 'node:assert/strict';
import {existsSync} from 'node:fs';
import {join} from 'node:path';
import Add from '../../src/commands/add.js';
import Attach from '../../src/commands/attach.js';
import Create from '../../src/commands/create.js';
import Delete from '../../src/commands/delete.js';
import Detach from '../../src/commands/detach.js';
import Status from '../../src/commands/status.js';
import type {ErrorDocument} from '../../src/cli/output/report.js';
import type {ChangeDocument} from '../../src/kvm-vfio/change-document.js';
import type {StatusDocument} from '../../src/kvm-vfio/status.js';
import {Process} from '../../src/linux/proc/process.js';
import {made} from '../support/made.js';
import {needs, VICTIM} from '../support/needs.js';
import {PROJECT, run} from '../support/run.js';
import {documentOf} from '../support/schema.js';
import {askMonitor} from '../vm/monitor.js';
import {compile, scratch, startKvfioVm, startVmm, type Vmm} from '../vm/vmm.js';

const NO_GROUP = '4294967';
const NO_DEVICE = 'ffff:ff:1f.7';

type Command = Parameters<typeof run>[0];

/** Runs a command with --json. */
const answer = async (command: Command, argv: string[]): Promise<{exit: number; document: unknown}> => {
  const {exit, stdout} = await run(command, [...argv, '--json']);
  const schema =
    'error' in (JSON.parse(stdout) as object) ? 'error' : command === Status ? 'status' : 'change';
  return {exit, document: documentOf(stdout, schema)};
};

const ask = async (command: Command, argv: string[]): Promise<{exit: number; document: ChangeDocument}> => {
  const {exit, document} = await answer(command, argv);
  return {exit, document: document as ChangeDocument};
};

const errorOf = async (command: Command, argv: string[]): Promise<[number, string, string | null]> => {
  const {exit, document} = await answer(command, argv);
  const {error} = document as ErrorDocument;
  return [exit, error.code, error.errno];
};

describe('create, attach and detach', function () {
  this.timeout(60_000);
  let folder: ReturnType<typeof scratch>;
  made(function () {
    needs(this, 'build', 'cc', 'kvm');
    return (folder = scratch());
  });
  before(() => {
    compile('example-vmm.c', folder.path('example-vmm'));
    compile(join(PROJECT, 'test/vm/sending-vmm.c'), folder.path('sending-vmm'));
  });

  interface Started {
    vmm: Vmm;
    place: string[];
  }
  const qemu = async (args: string[]): Promise<Started> => {
    const monitor = folder.path(`monitor-${args.length}`);
    const vmm = await startVmm([
      'sh',
      '-c',
      'echo; exec "$@"',
      'qemu',
      'qemu-system-x86_64',
      ...['-accel', 'kvm', '-S', '-display', 'none', '-nodefaults', '-m', '16', ...args],
      ...['-monitor', `unix:${monitor},server=on,wait=off`],
    ]);
    // QEMU listens before it has made its VM
    const hasVcpu = (): boolean =>
      [...new Process(vmm.pid).descriptors().values()].some((link) => link.startsWith('anon_inode:kvm-vcpu'));
    while (!existsSync(monitor) || !hasVcpu()) await new Promise((resolve) => setTimeout(resolve, 20));
    return {vmm, place: ['--pid', String(vmm.pid)]};
  };
  const kvfioVm = async (name: string, flags: string[]): Promise<Started> => {
    const socket = folder.path(name);
    return {vmm: await startKvfioVm(['--sock', socket, ...flags]), place: ['--vm-sock', socket]};
  };
  const example = async (): Promise<Started> => {
    const socket = folder.path('example.sock');
    const program = join(folder.path('.'), 'example-vmm');
    const vmm = await startVmm(['sh', '-c', 'echo; exec "$@"', 'sh', program, socket]);
    return {vmm, place: ['--vm-sock', socket, '--wait']};
  };
  const sending = async (): Promise<Started> => {
    const socket = folder.path('sending.sock');
    return {vmm: await startVmm([folder.path('sending-vmm'), socket]), place: ['--vm-sock', socket]};
  };
  const SANDBOX = 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny';

  for (const [name, via, start] of [
    ['kvfio vm', 'agent', () => kvfioVm('agent', [])],
    ['kvfio vm that only sends its descriptor', 'inject', () => kvfioVm('plain', ['--no-agent'])],
    ['a VMM in C', 'agent', example],
    ['a VMM in C that only sends its descriptor', 'inject', sending],
    ['a paused QEMU', 'inject', () => qemu([])],
    ['a paused QEMU in its sandbox', 'inject', () => qemu(['-sandbox', SANDBOX])],
  ] as const) {
    it(`work on ${name}, by ${via}`, async function () {
      if (via === 'inject') needs(this, ...VICTIM);
      if (name.includes('QEMU')) needs(this, 'qemu-system-x86_64');
      const {vmm, place} = await start();
      await using ended = vmm;
      assert.ok(ended.pid > 0);
      const owner = new Process(vmm.pid);
      const devices = (): number =>
        [...owner.descriptors().values()].filter((link) => link === 'anon_inode:kvm-vfio').length;

      const predicted = await ask(Create, [...place, '--dry-run']);
      assert.deepEqual(
        [predicted.exit, predicted.document.changed, predicted.document.device.state, devices()],
        [0, true, 'to-be-created', 0],
      );

      const created = await ask(Create, place);
      assert.equal(created.exit, 0);
      assert.deepEqual(created.document.steps, predicted.document.steps);
      assert.deepEqual(created.document.after, predicted.document.after);
      assert.equal(created.document.via, via);
      const {vm, device} = created.document;
      assert.equal(vm.pid, vmm.pid);
      assert.equal(vm.command, owner.comm());
      assert.equal(owner.descriptor(vm.fd), 'anon_inode:kvm-vm');
      assert.equal(owner.descriptor(device.fd ?? -1), 'anon_inode:kvm-vfio');

      assert.deepEqual(await errorOf(Create, place), [6, 'KERNEL_EBUSY', 'EBUSY']);
      assert.deepEqual(await errorOf(Create, [...place, '--dry-run']), [6, 'KERNEL_EBUSY', 'EBUSY']);
      const again = await ask(Create, [...place, '--if-missing']);
      assert.deepEqual(
        [again.exit, again.document.changed, again.document.device],
        [0, false, {fd: device.fd, state: 'found'}],
      );

      const status = (await answer(Status, place)).document as StatusDocument;
      assert.deepEqual(
        [status.device, status.files, status.coherency.state],
        [{fd: device.fd, all: [device.fd]}, [], 'coherent'],
      );
      for (const command of [Attach, Add, Delete]) {
        assert.deepEqual(await errorOf(command, [...place, '--group', NO_GROUP]), [
          3,
          'GROUP_NOT_FOUND',
          null,
        ]);
        assert.deepEqual(await errorOf(command, [...place, '--cdev', NO_DEVICE]), [
          3,
          'DEVICE_NOT_FOUND',
          null,
        ]);
      }
      assert.equal(devices(), 1);

      const closed = await ask(Detach, [...place, '--all', '--close-device']);
      assert.deepEqual([closed.document.changed, closed.document.device.state], [true, 'closed']);
      assert.equal(devices(), 0);
      const unchanged = await ask(Detach, [...place, '--all', '--close-device']);
      assert.deepEqual([unchanged.exit, unchanged.document.changed], [0, false]);

      if (name.includes('QEMU')) {
        const monitor = folder.path(`monitor-${name.includes('sandbox') ? 2 : 0}`);
        assert.match(await askMonitor(monitor, 'info status'), /paused/);
      }
    });
  }

  it('tell people which VM, what became of the device, and what WBINVD does', async () => {
    const {vmm, place} = await kvfioVm('text', []);
    await using ended = vmm;
    const {stdout, exit} = await run(Create, place);
    assert.equal(exit, 0);
    assert.match(
      // it is as wide as a terminal of 80 columns
      stdout.replaceAll('\n  ', ' '),
      new RegExp(
        `^VM of process ${ended.pid} \\(.+\\), descriptor \\d+, at .+, by agent\\n` +
          'kvm-vfio device: created, descriptor \\d+\\n' +
          'before: .*coherent.*: WBINVD is skipped.*\\nnow: .*coherent.*: WBINVD is skipped.*\\n$',
      ),
    );
    const {stdout: status} = await run(Status, place);
    assert.match(status, /\nkvm-vfio device: descriptor \d+\nnow: /);
  });

  it('refuse what names no VM, two, or one that cannot be reached so', async () => {
    const {vmm, place} = await kvfioVm('refused', ['--no-agent']);
    await using ended = vmm;
    const pid = ['--pid', String(ended.pid)];
    assert.deepEqual(await errorOf(Create, []), [2, 'USAGE', null]);
    assert.deepEqual(await errorOf(Create, [...place, ...pid]), [2, 'USAGE', null]);
    for (const command of [Add, Attach, Delete, Detach])
      assert.deepEqual(await errorOf(command, place), [2, 'USAGE', null]);
    for (const argv of [
      ['--cdev', '../0000:00:00.0'],
      ['--cdev', '..'],
      ['--cdev', NO_DEVICE, '--container', 'type1'],
    ])
      assert.deepEqual(await errorOf(Attach, [...place, ...argv]), [2, 'USAGE', null], argv.join(' '));
    assert.deepEqual(await errorOf(Detach, [...place, '--all', '--cdev', NO_DEVICE]), [2, 'USAGE', null]);
    assert.deepEqual(await errorOf(Create, [...place, '--via', 'direct']), [2, 'NOT_OWN_VM', null]);
    assert.deepEqual(await errorOf(Create, [...place, '--via', 'agent']), [3, 'NO_AGENT', null]);
    assert.deepEqual(await errorOf(Create, [...pid, '--via', 'agent']), [2, 'NO_AGENT', null]);
    assert.deepEqual(await errorOf(Create, ['--pid', String(process.pid), '--vm-fd', '99999']), [
      3,
      'NO_VM_IN_PROCESS',
      null,
    ]);
    assert.deepEqual(await errorOf(Create, ['--vm-sock', folder.path('none')]), [
      3,
      'VM_SOCKET_NOT_CONNECTED',
      'ENOENT',
    ]);
    assert.deepEqual(
      await errorOf(Attach, [...place, '--group', NO_GROUP, '--device-fd', '0', '--create', 'never']),
      [3, 'GROUP_NOT_FOUND', null],
    );
    assert.deepEqual(await errorOf(Status, [...place, '--device-fd', '0']), [3, 'NO_SUCH_DEVICE', null]);
  });

  it('are checked by what is expected of a VM', async () => {
    const {vmm, place} = await kvfioVm('expected', []);
    await using ended = vmm;
    const expecting = async (state: string): Promise<[number, boolean | null]> => {
      const {exit, document} = await answer(Status, [...place, '--expect', state]);
      return [exit, (document as StatusDocument).asExpected];
    };
    assert.deepEqual(await expecting('coherent'), [0, true]);
    assert.deepEqual(await expecting('non-coherent'), [7, false]);
    const {stderr} = await run(Status, [...place, '--expect', 'non-coherent']);
    assert.match(stderr, new RegExp('The VM is coherent, and --expect asks for non-coherent'));
    // it is the reason of the exit code
    assert.equal((await run(Status, [...place, '--expect', 'non-coherent', '--quiet'])).stderr, stderr);
    assert.ok(ended.pid > 0);
  });

  it('wait for a VM that is to come, and no longer than they may', async () => {
    const socket = folder.path('late');
    const late = errorOf(Create, ['--vm-sock', socket, '--wait', '--timeout', '1']);
    assert.deepEqual(await late, [124, 'VM_SOCKET_TIMEOUT', 'ENOENT']);
    assert.deepEqual(await errorOf(Create, ['--pid', String(process.pid), '--wait', '--timeout', '1']), [
      124,
      'VM_TIMEOUT',
      null,
    ]);
    const created = ask(Create, ['--vm-sock', socket, '--wait', '--timeout', '30']);
    const {vmm} = await kvfioVm('late', []);
    await using ended = vmm;
    assert.equal((await created).document.vm.pid, ended.pid);
  });
});
