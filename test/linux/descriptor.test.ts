import assert from 'node:assert/strict';
import {existsSync, readlinkSync} from 'node:fs';
import {Descriptor, checked} from '../../src/linux/descriptor.js';
import {O_RDONLY, close, open} from '../../src/linux/libc.js';

const devNull = (): Descriptor => new Descriptor(open('/dev/null', O_RDONLY), '/dev/null');
const isOpen = (fd: number): boolean => existsSync(`/proc/self/fd/${fd}`);

describe('Descriptor', () => {
  it('is closed at the end of the block that uses it, also when that throws', () => {
    let fd = -1;
    assert.throws(() => {
      using file = devNull();
      fd = file.fd;
      assert.equal(readlinkSync(`/proc/self/fd/${fd}`), '/dev/null');
      throw new Error('the block');
    }, /the block/);
    assert.equal(isOpen(fd), false);
  });

  it('closes once, whoever has the number afterwards', () => {
    const first = devNull();
    const {fd} = first;
    first[Symbol.dispose]();
    using second = devNull();
    assert.equal(second.fd, fd);
    first[Symbol.dispose]();
    assert.equal(isOpen(fd), true);
  });

  it('cannot be used after it is closed', () => {
    const file = devNull();
    file[Symbol.dispose]();
    assert.throws(() => file.fd, /use of a closed descriptor of \/dev\/null/);
  });

  it('takes over nothing but a descriptor number', () => {
    for (const fd of [-1, 0.5, NaN]) assert.throws(() => new Descriptor(fd), RangeError);
  });

  it('reports that somebody else closed its number', () => {
    const file = devNull();
    close(file.fd);
    assert.throws(
      () => {
        file[Symbol.dispose]();
      },
      {message: 'close: EBADF'},
    );
  });

  it('is closed when the check at its opening fails, and kept otherwise', () => {
    let fd = -1;
    assert.throws(
      () =>
        checked(devNull(), (file) => {
          fd = file.fd;
          throw new Error('not the right file');
        }),
      /not the right file/,
    );
    assert.equal(isOpen(fd), false);

    using kept = checked(devNull(), () => undefined);
    assert.equal(isOpen(kept.fd), true);
  });
});
