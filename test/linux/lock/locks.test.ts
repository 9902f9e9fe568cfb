import assert from 'node:assert/strict';
import {chmodSync, chownSync, writeFileSync} from 'node:fs';
import {isByteLocked, lockByteAlone, unlockByte} from '../../../src/linux/lock/byte-lock.js';
import {Descriptor} from '../../../src/linux/descriptor.js';
import {FileLock} from '../../../src/linux/lock/file-lock.js';
import {O_RDWR, open} from '../../../src/linux/libc.js';
import {holderOf} from '../../../src/linux/lock/process-lock.js';
import {skip} from '../../support/skip.js';
import {scratch} from '../../vm/vmm.js';

describe('a lock', () => {
  it('is not taken on a file that others may open, and keep locked', function () {
    if (process.geteuid?.() !== 0) skip(this, 'only root can give files away');
    using folder = scratch();
    const path = folder.path('lock');
    FileLock.tryTake(path)?.[Symbol.dispose]();
    FileLock.tryTake(path)?.[Symbol.dispose]();
    chmodSync(path, 0o644);
    assert.throws(() => FileLock.tryTake(path), {code: 'EPERM', path});
    writeFileSync(folder.path('his'), '', {mode: 0o600});
    chownSync(folder.path('his'), 4711, 4711);
    assert.throws(() => FileLock.tryTake(folder.path('his')), {code: 'EPERM'});
  });

  it('on a byte is seen by others and not by its holder, and who looks for one takes none', () => {
    using folder = scratch();
    const path = folder.path('file');
    writeFileSync(path, '');
    const openAnew = (): Descriptor => new Descriptor(open(path, O_RDWR), path);
    using first = openAnew();
    using second = openAnew();
    for (const each of [first, second]) assert.equal(isByteLocked(each, 7n), false);
    // as two kvfios that look at the same time
    assert.ok(lockByteAlone(first, 7n));
    assert.equal(isByteLocked(second, 7n), true);
    assert.equal(isByteLocked(second, 8n), false);
    assert.equal(isByteLocked(first, 7n), false);
    assert.equal(lockByteAlone(second, 7n), false);
    unlockByte(first, 7n);
    assert.equal(isByteLocked(second, 7n), false);
  });

  it('has as its holder who locked the same inode of the same device, alone and by flock', () => {
    const text = `1: POSIX  ADVISORY  WRITE 11 00:17:42 0 EOF
2: FLOCK  ADVISORY  READ 12 00:17:42 0 EOF
3: FLOCK  ADVISORY  WRITE 13 00:18:42 0 EOF
3: -> FLOCK  ADVISORY  WRITE 14 00:17:42 0 EOF
4: FLOCK  ADVISORY  WRITE 0 00:17:42 0 EOF
5: FLOCK  ADVISORY  WRITE 15 00:17:42 0 EOF
6: FLOCK  ADVISORY  WRITE 16 103:a1b2c:7 0 EOF
`;
    assert.equal(holderOf({dev: 0x17n, ino: 42n}, text), 15);
    assert.equal(holderOf({dev: 0x19n, ino: 42n}, text), null);
    assert.equal(holderOf({dev: 0xa1b1_032cn, ino: 7n}, text), 16);
  });
});
