import assert from 'node:assert/strict';
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {Descriptor} from '../../src/linux/descriptor.js';
import {O_RDWR, open} from '../../src/linux/libc.js';
import {Pidfd} from '../../src/linux/pidfd.js';
import {MOST, fingerprint, noteDecision, parseDecision, readDecision} from '../../src/vfio/decision.js';

const ADDRESSES = ['0000:01:00.0', '0000:01:00.1'];

describe('the note of what KVM was told', () => {
  let folder = '';
  let path = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'kvfio-note-'));
    path = join(folder, 'file');
    writeFileSync(path, '');
  });
  afterEach(() => {
    rmSync(folder, {recursive: true});
  });

  it('is on the open file, whoever has a descriptor of it, and on no other open file', () => {
    using file = new Descriptor(open(path, O_RDWR));
    using other = new Descriptor(open(path, O_RDWR));
    using self = Pidfd.open(process.pid);
    using duplicate = self.getfd(file.fd);
    assert.equal(readDecision(process.pid, file.fd), null);
    noteDecision(file, 'not-enforced', ADDRESSES);
    const noted = {verdict: 'not-enforced', members: 2, fingerprint: fingerprint(ADDRESSES)};
    assert.deepEqual(readDecision(process.pid, file.fd), noted);
    assert.deepEqual(readDecision(process.pid, duplicate.fd), noted);
    assert.equal(readDecision(process.pid, other.fd), null);
  });

  it('takes the place of an earlier one', () => {
    using file = new Descriptor(open(path, O_RDWR));
    for (const verdict of ['unknown', 'enforced', 'not-enforced', 'enforced'] as const) {
      noteDecision(file, verdict, ADDRESSES.slice(0, 1));
      assert.deepEqual(readDecision(process.pid, file.fd), {
        verdict,
        members: 1,
        fingerprint: fingerprint(ADDRESSES.slice(0, 1)),
      });
    }
  });

  it('counts what fits, and cannot be seen of a process that is not there', () => {
    using file = new Descriptor(open(path, O_RDWR));
    noteDecision(
      file,
      'enforced',
      Array.from({length: 1000}, (_, index) => String(index)),
    );
    assert.equal(readDecision(process.pid, file.fd)?.members, MOST);
    assert.equal(readDecision(2 ** 30, 3), null);
  });

  it('tells sets of devices apart, in whatever order they are', () => {
    assert.equal(fingerprint(ADDRESSES), fingerprint([...ADDRESSES].reverse()));
    assert.notEqual(fingerprint(ADDRESSES), fingerprint(ADDRESSES.slice(1)));
  });

  it('is not any other lock', () => {
    for (const line of [
      'lock:\t1: POSIX  ADVISORY  READ 4711 00:06:123 33 33',
      'lock:\t1: OFDLCK ADVISORY  WRITE -1 00:06:123 33 33',
      'lock:\t1: OFDLCK ADVISORY  READ -1 00:06:123 0 EOF',
      'lock:\t1: OFDLCK ADVISORY  READ -1 00:06:123 33 34',
      'lock:\t1: OFDLCK ADVISORY  READ -1 00:06:123 32 32',
      'lock:\t1: OFDLCK ADVISORY  READ -1 00:06:123 241 241',
    ])
      assert.equal(parseDecision(`flags:\t02\n${line}\n`), null, line);
    assert.notEqual(parseDecision('flags:\t02\nlock:\t1: OFDLCK ADVISORY  READ -1 00:06:123 33 33\n'), null);
  });
});
