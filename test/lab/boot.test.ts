import assert from 'node:assert/strict';
import {spawn, type ChildProcess} from 'node:child_process';
import {createHash, randomBytes} from 'node:crypto';
import {once} from 'node:events';
import {readFileSync, readdirSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {Readable} from 'node:stream';
import {setTimeout as sleep} from 'node:timers/promises';
import {Failure} from '../../src/failure.js';
import type {LabResult} from '../../src/lab/lab.js';
import {KVFIO, lab} from '../support/lab.js';
import {made} from '../support/made.js';
import {buildOnce} from '../support/run.js';
import {scratch} from '../vm/vmm.js';

/** Processes and folders of the lab that was started by a process. */
const leftBy = (pid: number): string[] => {
  const name = `kvfio-lab-${pid}-`;
  const folders = readdirSync(tmpdir()).filter((entry) => entry.startsWith(name));
  const processes = readdirSync('/proc').filter(
    (entry) => /^\d+$/.test(entry) && commandLine(entry).includes(name),
  );
  return [...folders, ...processes];
};

const commandLine = (pid: string): string => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
};

/** Starts `kvfio lab` as users do, in a process of its own. */
const start = (...argv: string[]): ChildProcess & {pid: number} => {
  buildOnce();
  const [node = '', script = ''] = KVFIO;
  const child = spawn(node, [script, 'lab', ...argv], {stdio: ['ignore', 'pipe', 'inherit']});
  assert.ok(child.pid !== undefined);
  return child as ChildProcess & {pid: number};
};

const OBSERVE = `
uname -r
id -u
pwd
for device in /sys/kernel/iommu_groups/*/devices/*; do
  group=\${device#/sys/kernel/iommu_groups/}
  echo "group \${group%%/*} $(basename "$(readlink "$device/driver")")"
done
test -c /dev/kvm && echo kvm
modprobe vfio-pci && echo modprobe
touch /etc/kvfio-lab-test 2>/dev/null || echo read-only
echo words > "$KVFIO_LAB_OUT/note"
kvfio --version
echo careful >&2
exit 42
`;

describe('the lab guest', function () {
  this.timeout(300_000);

  // skips all of them at once where the lab cannot start: some wait for a process that then never comes up
  before(async function () {
    await lab(this, {task: {command: ['true']}});
  });

  describe('that runs a script', () => {
    let out: string;
    let result: LabResult;
    let lines: string[];
    let groups: string[];

    made(() => {
      const folder = scratch();
      out = folder.path('');
      return folder;
    });
    before(async function () {
      buildOnce();
      result = await lab(this, {task: {script: OBSERVE}, out});
      lines = result.stdout.toString().split('\n');
      groups = lines.filter((line) => line.startsWith('group '));
    });

    it("ends with the script's exit code", () => {
      assert.equal(result.exitCode, 42);
    });

    it('is root on the kernel that it says, in the folder of the caller', () => {
      assert.deepEqual(lines.slice(0, 3), [result.kernel, '0', process.cwd()]);
    });

    it('keeps errors apart from output', () => {
      assert.equal(result.stderr.toString(), 'careful\n');
    });

    it('has groups of one device, of several, and one that is bound to vfio-pci', () => {
      const membersOf = (driver: string): number => {
        const group = groups.find((line) => line.endsWith(` ${driver}`))?.split(' ')[1];
        return groups.filter((line) => line.split(' ')[1] === group).length;
      };
      assert.equal(membersOf('nvme'), 1);
      assert.equal(membersOf('vfio-pci'), 1);
      assert.equal(membersOf('xhci_hcd'), 6);
    });

    it('has KVM, and loads modules on demand', () => {
      assert.ok(lines.includes('kvm') && lines.includes('modprobe'));
    });

    it("cannot write to the host's files but to the folder of --out", () => {
      assert.ok(lines.includes('read-only'));
      assert.equal(readFileSync(join(out, 'note'), 'utf8'), 'words\n');
    });

    it('has this kvfio on its PATH', () => {
      assert.ok(lines.some((line) => line.startsWith('kvfio/')));
    });

    it('leaves nothing behind', () => {
      assert.deepEqual(leftBy(process.pid), []);
    });
  });

  it('passes a megabyte in and out without changing a byte', async function () {
    const data = randomBytes(1_000_000);
    const result = await lab(this, {
      task: {command: ['sh', '-c', 'tee /dev/stderr']},
      streams: {stdin: Readable.from([data])},
    });
    const sum = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
    assert.deepEqual([sum(result.stdout), sum(result.stderr)], [sum(data), sum(data)]);
  });

  it('does not wait for what the command left running', async function () {
    const result = await lab(this, {task: {command: ['sh', '-c', 'sleep 100000 & echo done']}, limit: 200});
    assert.equal(result.stdout.toString(), 'done\n');
  });

  it('that panics is reported with the end of its console, after what the command had said', async function () {
    const said: Buffer[] = [];
    const script = 'echo before; sleep 1; echo c > /proc/sysrq-trigger; sleep 100';
    const booted = lab(this, {task: {script}, streams: {stdout: (data) => void said.push(data)}});
    await assert.rejects(
      booted,
      (error) =>
        error instanceof Failure && error.code === 'LAB_GUEST_PANICKED' && error.what.includes('sysrq'),
    );
    assert.equal(Buffer.concat(said).toString(), 'before\n');
    assert.deepEqual(leftBy(process.pid), []);
  });

  it('whose command takes too long is ended', async function () {
    const booted = lab(this, {task: {command: ['sleep', '100000']}, limit: 1});
    await assert.rejects(booted, (error) => error instanceof Failure && error.exitCode === 124);
    assert.deepEqual(leftBy(process.pid), []);
  });

  it('that QEMU does not start is a failure in words of QEMU', async function () {
    const booted = lab(this, {task: {command: ['true']}, pci: ['e1000e,no-such-property=1']});
    await assert.rejects(booted, (error) => error instanceof Failure && /no-such-property/.test(error.why));
    assert.deepEqual(leftBy(process.pid), []);
  });

  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGKILL'] as const) {
    for (const moment of ['boots', 'runs a command']) {
      it(`goes away when kvfio gets ${signal} while it ${moment}`, async () => {
        const child = start('--', 'sh', '-c', 'echo up; sleep 100000');
        if (moment === 'boots') while (leftBy(child.pid).length < 3) await sleep(10);
        else await once(child.stdout ?? child, 'data');
        child.kill(signal);
        await once(child, 'exit');
        assert.equal(child.signalCode, signal);
        // after SIGKILL the watchdog still has its work to do
        while (signal === 'SIGKILL' && leftBy(child.pid).length > 0) await sleep(10);
        assert.deepEqual(leftBy(child.pid), []);
      });
    }
  }

  it('goes away when nobody reads its output any more', async () => {
    const child = start('--', 'seq', '1', '1000000000');
    await once(child.stdout ?? child, 'data');
    child.stdout?.destroy();
    await once(child, 'exit');
    assert.equal(child.exitCode, 141);
    assert.deepEqual(leftBy(child.pid), []);
  });
});
