import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {existsSync, mkdirSync, mkdtempSync, readlinkSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {PID_FILE, removeStale, temporaryFolder} from '../../src/lab/scratch.js';

describe('temporary folders of the lab', () => {
  let parent: string;
  const space = readlinkSync('/proc/self/ns/pid').replace(/\D/g, '');

  beforeEach(() => {
    parent = mkdtempSync(join(tmpdir(), 'kvfio-test-'));
  });

  afterEach(() => {
    rmSync(parent, {recursive: true});
  });

  it('stay while their process lives', () => {
    const folder = temporaryFolder(parent);
    removeStale(parent);
    assert.ok(existsSync(folder));
  });

  it('go when their process is gone, and so do those of a process that had the same id', () => {
    for (const name of [
      `kvfio-lab-999999999-1-${space}-abcdef`,
      `kvfio-lab-${process.pid}-1-${space}-abcdef`,
    ]) {
      mkdirSync(join(parent, name));
      removeStale(parent);
      assert.ok(!existsSync(join(parent, name)));
    }
  });

  it('leave everything else alone, and what a process of another container may be using', () => {
    const names = ['kvfio-lab', 'kvfio-lab-x-1-a', 'kvfio-lab-999999999-1-1-abcdef', 'other'];
    for (const name of names) mkdirSync(join(parent, name));
    removeStale(parent);
    for (const name of names) assert.ok(existsSync(join(parent, name)));
  });

  it('take along the program that was left working in them, and no other', async () => {
    const folder = join(parent, `kvfio-lab-999999999-1-${space}-abcdef`);
    const left = spawn('sh', ['-c', 'sleep 100; exit', folder], {detached: true});
    const other = spawn('sleep', ['100']);
    for (const {pid} of [other, left]) {
      mkdirSync(folder, {recursive: true});
      writeFileSync(join(folder, PID_FILE), `${pid ?? 0}\n`);
      removeStale(parent);
    }
    await once(left, 'exit');
    assert.equal(left.signalCode, 'SIGKILL');
    assert.equal(other.exitCode ?? other.signalCode, null);
    other.kill();
    try {
      process.kill(-(left.pid ?? 0), 'SIGKILL');
    } catch {
      // its sleep went with it
    }
  });
});
