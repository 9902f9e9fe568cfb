import assert from 'node:assert/strict';
import {mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {CaptureTree, emptyCapture, RecordingTree} from '../../src/host/capture.js';
import {DirectoryTree} from '../../src/host/directory-tree.js';
import {kernelMessages, readKernelLog} from '../../src/host/kernel-log.js';

const MESSAGES = ['DMAR: Host address width 39', '[Firmware Bug]: TSC does not count'];

describe('the kernel log', () => {
  for (const [form, text] of [
    [
      '/dev/kmsg',
      '6,339,5140900,-;DMAR: Host address width 39\n SUBSYSTEM=acpi\n DEVICE=+acpi:PNP0A03:00\n4,340,5140901,-,caller=T1;[Firmware Bug]: TSC does not count\n',
    ],
    ['dmesg', '[    0.012345] DMAR: Host address width 39\n[    1.5] [Firmware Bug]: TSC does not count\n'],
    [
      'dmesg with time and caller',
      '[Fri Nov 27 18:03:31 2026] DMAR: Host address width 39\n[    0.1][    T1] [Firmware Bug]: TSC does not count\n',
    ],
    [
      'journalctl, or syslog',
      'Nov 27 18:03:31 host kernel: DMAR: Host address width 39\n2026-11-27T18:03:31.5+00:00 host kernel: [    0.1] [Firmware Bug]: TSC does not count\n',
    ],
    [
      'journalctl --output short-precise, short-full',
      'Nov 27 18:03:31.123456 host kernel: DMAR: Host address width 39\nFri 2026-11-27 18:03:31 UTC host kernel: [Firmware Bug]: TSC does not count\n',
    ],
    [
      'journalctl --output short-monotonic, short-iso',
      '[    0.012345] host kernel: DMAR: Host address width 39\n2026-11-27T18:03:31+0000 host kernel: [Firmware Bug]: TSC does not count\n',
    ],
    [
      'dmesg --human, whose later lines count from the one before',
      '[Nov27 18:03] DMAR: Host address width 39\n[  +0.000012] [Firmware Bug]: TSC does not count\n',
    ],
    [
      'dmesg --decode, and --time-format iso',
      'kern  :info  : [    0.012345] DMAR: Host address width 39\n2026-11-27T18:03:31,123456+00:00 [Firmware Bug]: TSC does not count\n',
    ],
    [
      'dmesg --raw, and without time',
      '<6>[    0.1] DMAR: Host address width 39\n[Firmware Bug]: TSC does not count\n',
    ],
  ] as const)
    it(`is understood as ${form} has it`, () => {
      assert.deepEqual(kernelMessages(text), MESSAGES);
    });

  it('is read from this machine, and replayed from a recording', function () {
    const recorder = new RecordingTree(new DirectoryTree(), emptyCapture('0', true));
    const log = readKernelLog(recorder);
    const replayed = readKernelLog(new CaptureTree(recorder.capture, 'x'));
    assert.deepEqual(replayed, log);
    // null where kernel.dmesg_restrict keeps this user from it
    if (log !== null) assert.ok(log.length > 0);
  });

  it("is not this machine's when another machine's folder has the node", () => {
    const root = mkdtempSync(join(tmpdir(), 'kvfio-log-'));
    try {
      mkdirSync(join(root, 'dev'));
      symlinkSync('/dev/kmsg', join(root, 'dev/kmsg'));
      assert.equal(readKernelLog(new DirectoryTree(root)), null);
      rmSync(join(root, 'dev/kmsg'));
      writeFileSync(join(root, 'dev/kmsg'), '[ 0.1] DMAR: Host address width 39\n');
      assert.deepEqual(readKernelLog(new DirectoryTree(root)), ['DMAR: Host address width 39']);
    } finally {
      rmSync(root, {recursive: true});
    }
  });
});
