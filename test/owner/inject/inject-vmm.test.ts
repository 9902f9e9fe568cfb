import assert from 'node:assert/strict';
import {spawn, type ChildProcess} from 'node:child_process';
import {existsSync} from 'node:fs';
import {connect} from 'node:net';
import {setTimeout} from 'node:timers/promises';
import {Descriptor} from '../../../src/linux/descriptor.js';
import {O_RDWR, open} from '../../../src/linux/libc.js';
import {Process} from '../../../src/linux/proc/process.js';
import {InjectedOwner} from '../../../src/owner/inject/injected-owner.js';
import {made} from '../../support/made.js';
import {needs, VICTIM} from '../../support/needs.js';
import {CLOSE_RELEASES} from '../../vm/make-device.js';
import {scratch} from '../../vm/vmm.js';

const KVM_DEV_TYPE_VFIO = 4;
const KVM = new URL('../../../src/kvm/system.ts', import.meta.url).href;

/** What attaching does, as far as it goes without VFIO. */
const attachAndDetach = (pid: number): void => {
  const owner = new Process(pid);
  const before = lasting(owner);
  const vmFd = before.find(([, link]) => link === 'anon_inode:kvm-vm')?.[0] ?? -1;
  using injected = InjectedOwner.open(pid);
  using file = new Descriptor(open('/dev/null', O_RDWR), '/dev/null');
  for (let round = 0; round < (CLOSE_RELEASES ? 20 : 1); round += 1) {
    injected.together(() => {
      const device = injected.createDevice(vmFd, KVM_DEV_TYPE_VFIO);
      assert.equal(owner.descriptor(device), 'anon_inode:kvm-vfio');
      const given = injected.giveDescriptor(file);
      assert.throws(
        () => {
          injected.setDeviceAttr(device, 1, 1, given);
        },
        {code: 'EINVAL'},
      );
      for (const fd of [given, device]) injected.closeDescriptor(fd);
    });
  }
  assert.deepEqual(lasting(owner), before);
};

/** Its descriptors without sockets: QEMU closes that of a monitor's client when it gets to it. */
const lasting = (owner: Process): [number, string][] =>
  [...owner.descriptors()].filter(([, link]) => !link.startsWith('socket:'));

describe('QEMU as an injected owner', function () {
  this.timeout(60_000);
  let folder: ReturnType<typeof scratch>;
  let qemu: ChildProcess | undefined;

  made(function () {
    needs(this, ...VICTIM, 'qemu-system-x86_64');
    return (folder = scratch());
  });
  afterEach(() => {
    qemu?.kill('SIGKILL');
  });

  const sandbox = ['-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny'];
  for (const [name, args, filters] of [
    ['without a sandbox', [], 0],
    ['in its sandbox', sandbox, 2],
  ] as const) {
    for (const [how, paused] of [
      ['paused', ['-S']],
      ['with its vCPU running', []],
    ] as const) {
      it(`${name}, ${how}, makes the calls, and its monitor answers afterwards`, async () => {
        const socket = folder.path(`monitor-${filters}-${paused.length}`);
        qemu = spawn(
          'qemu-system-x86_64',
          ['-accel', 'kvm', ...paused, '-display', 'none', '-nodefaults', '-m', '16', ...args].concat([
            '-monitor',
            `unix:${socket},server=on,wait=off`,
          ]),
          {stdio: ['ignore', 'ignore', 'inherit']},
        );
        const pid = qemu.pid ?? -1;
        let before: string | null = null;
        while (before === null) {
          assert.equal(qemu.exitCode, null);
          await setTimeout(10);
          // the socket is there before QEMU listens
          before = existsSync(socket) ? await ask(socket, 'info status').catch(refusedAsNull) : null;
        }
        assert.equal(new Process(pid).status().seccomp, filters);
        attachAndDetach(pid);
        assert.equal(await ask(socket, 'info status'), before);
        assert.match(before, paused.length > 0 ? /paused/ : /running|shutdown|internal-error/);
        assert.equal(qemu.exitCode, null);
      });
    }
  }
});

describe('Node as an injected owner', function () {
  this.timeout(60_000);
  before(function () {
    needs(this, ...VICTIM);
  });

  it('makes the calls while it is busy with its own', async () => {
    const source = `
      const {Kvm} = await import(${JSON.stringify(KVM)});
      const kvm = Kvm.open();
      const vm = kvm.createVm();
      let ticks = 0;
      setInterval(() => { ticks += 1; JSON.stringify(Array.from({length: 20000}, Math.random)); }, 1);
      process.stdin.on('data', () => process.stdout.write(ticks + '\\n'));
      process.stdout.write('ready\\n');`;
    const node = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', source], {
      stdio: ['pipe', 'pipe', 'inherit'],
      // tsx looks through the folder of its cache whenever it likes, and has a descriptor of it meanwhile
      env: {...process.env, TSX_DISABLE_CACHE: '1'},
    });
    try {
      const line = lines(node);
      assert.equal(await line(), 'ready');
      const ticks = async (): Promise<number> => {
        node.stdin.write('?');
        return Number(await line());
      };
      const before = await ticks();
      attachAndDetach(node.pid ?? -1);
      let after = before;
      while (after <= before) after = await ticks();
    } finally {
      node.kill('SIGKILL');
    }
  });
});

/** What QEMU's monitor answers to a command. */
const ask = (path: string, command: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = connect(path);
    let text = '';
    let asked = false;
    socket.on('error', reject);
    socket.on('data', (bytes: Buffer) => {
      text += bytes.toString();
      if (!text.trimEnd().endsWith('(qemu)')) return;
      if (asked) {
        socket.destroy();
        resolve(/^VM status.*$/m.exec(text)?.[0] ?? text);
      } else {
        asked = true;
        text = '';
        socket.write(`${command}\n`);
      }
    });
  });

const refusedAsNull = (error: NodeJS.ErrnoException): null => {
  if (error.code === 'ECONNREFUSED') return null;
  throw error;
};

/** The lines that a process writes, one after the other. */
const lines = ({stdout}: ChildProcess): (() => Promise<string>) => {
  let text = '';
  let wake: () => void = () => undefined;
  stdout?.on('data', (bytes: Buffer) => {
    text += bytes.toString();
    wake();
  });
  return async () => {
    while (!text.includes('\n')) await new Promise<void>((resolve) => (wake = resolve));
    const line = text.slice(0, text.indexOf('\n'));
    text = text.slice(line.length + 1);
    return line;
  };
};
