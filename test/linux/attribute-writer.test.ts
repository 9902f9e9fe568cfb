import assert from 'node:assert/strict';
import {execFileSync} from 'node:child_process';
import {existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import {DetachedWriter, StuckWrite} from '../../src/linux/attribute-writer.js';
import {SyscallError} from '../../src/linux/errno.js';
import {FileLock} from '../../src/linux/lock/file-lock.js';
import {whoLocked} from '../../src/linux/lock/process-lock.js';

describe('writing from a process of its own', () => {
  let folder: string;
  const path = (name: string): string => join(folder, name);

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'kvfio-test-'));
    writeFileSync(path('attribute'), '');
  });

  afterEach(() => {
    rmSync(folder, {recursive: true});
  });

  it('writes, and says what the kernel answered', async () => {
    await using writer = new DetachedWriter({seconds: 10, inherit: []});
    await writer.write(path('attribute'), 'vfio-pci\n');
    assert.equal(readFileSync(path('attribute'), 'utf8'), 'vfio-pci\n');
    for (const [file, code] of [
      [path('absent'), 'ENOENT'],
      [folder, 'EISDIR'],
    ] as const) {
      await assert.rejects(
        writer.write(file, 'x'),
        (error) => error instanceof SyscallError && error.code === code && error.path === file,
      );
    }
    await writer.write(path('attribute'), 'e1000e\n');
    assert.equal(existsSync(path('absent')), false, 'it makes no file');
  });

  it('lets kvfio go on when the kernel does not come back, and keeps the lock until it does', async () => {
    execFileSync('mkfifo', [path('stuck')]);
    let pid: number;
    {
      using lock = FileLock.tryTake(path('lock'));
      assert.ok(lock);
      await using writer = new DetachedWriter({seconds: 0.2, inherit: [lock]});
      const error = await writer.write(path('stuck'), 'x').then(
        () => null,
        (thrown: unknown) => thrown,
      );
      assert.ok(error instanceof StuckWrite);
      pid = error.pid;
      await writer.write(path('attribute'), 'others can still be written\n');
    }
    assert.equal(FileLock.tryTake(path('lock')), null);
    assert.equal(whoLocked(path('lock'))?.pid, process.pid);
    // somebody reads at last, so the write ends, and with it the process
    execFileSync('cat', [path('stuck')]);
    while (existsSync(`/proc/${pid}`)) await sleep(10);
    using lock = FileLock.tryTake(path('lock'));
    assert.ok(lock);
  });
});
