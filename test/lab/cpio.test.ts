import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import {mkdtempSync, readFileSync, rmSync, statSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {cpioArchive} from '../../src/lab/cpio.js';
import {needs} from '../support/needs.js';

describe('cpioArchive', () => {
  it('is unpacked by cpio to the same names, modes and contents', function () {
    needs(this, 'busybox');
    const folder = mkdtempSync(join(tmpdir(), 'kvfio-test-'));
    try {
      const data = Buffer.from([0, 1, 2, 255, 10]);
      const input = cpioArchive([
        {path: 'bin', mode: 0o755},
        {path: 'bin/odd', mode: 0o711, data},
        {path: 'empty', mode: 0o600, data: Buffer.alloc(0)},
      ]);
      const {status, stderr} = spawnSync('busybox', ['cpio', '-i', '-d'], {cwd: folder, input});
      assert.equal(status, 0, stderr.toString());
      assert.deepEqual(readFileSync(join(folder, 'bin/odd')), data);
      assert.equal(statSync(join(folder, 'bin/odd')).mode & 0o777, 0o711);
      assert.equal(statSync(join(folder, 'empty')).size, 0);
      assert.ok(statSync(join(folder, 'bin')).isDirectory());
    } finally {
      rmSync(folder, {recursive: true});
    }
  });

  it('begins every record at a multiple of four bytes', () => {
    const archive = cpioArchive(
      [1, 2, 3, 4, 5].map((size) => ({path: 'x'.repeat(size), mode: 0o644, data: Buffer.alloc(size, 1)})),
    );
    const starts = [...archive.toString('latin1').matchAll(/070701/g)].map(({index}) => index % 4);
    assert.deepEqual(starts, [0, 0, 0, 0, 0, 0]);
  });
});
