import assert from 'node:assert/strict';
import {mkdtempSync, readFileSync, rmSync, statSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {lockByte} from '../../src/linux/lock/byte-lock.js';
import {Descriptor} from '../../src/linux/descriptor.js';
import {O_RDWR, open} from '../../src/linux/libc.js';
import {Pidfd} from '../../src/linux/proc/pidfd.js';
import {
  MOST_MEMBERS,
  fingerprint,
  writeCoherencyRecord,
  parseCoherencyRecord,
  readCoherencyRecord,
} from '../../src/kvm-vfio/coherency-record.js';
import type {FileNode} from '../../src/vfio/file-node.js';
import {isMarkedFileOf, KVFIO_MARK} from '../../src/vfio/kvfio-mark.js';

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
    assert.equal(readCoherencyRecord(process.pid, file.fd), null);
    writeCoherencyRecord(file, 'not-enforced', ADDRESSES);
    const noted = {verdict: 'not-enforced', members: 2, fingerprint: fingerprint(ADDRESSES)};
    assert.deepEqual(readCoherencyRecord(process.pid, file.fd), noted);
    assert.deepEqual(readCoherencyRecord(process.pid, duplicate.fd), noted);
    assert.equal(readCoherencyRecord(process.pid, other.fd), null);
  });

  it('takes the place of an earlier one', () => {
    using file = new Descriptor(open(path, O_RDWR));
    for (const verdict of ['unknown', 'enforced', 'not-enforced', 'enforced'] as const) {
      writeCoherencyRecord(file, verdict, ADDRESSES.slice(0, 1));
      assert.deepEqual(readCoherencyRecord(process.pid, file.fd), {
        verdict,
        members: 1,
        fingerprint: fingerprint(ADDRESSES.slice(0, 1)),
      });
    }
  });

  it('leaves every lock that is no note', () => {
    using file = new Descriptor(open(path, O_RDWR));
    const locks = (): string[] =>
      readFileSync(`/proc/self/fdinfo/${file.fd}`, 'utf8').match(/ \d+ \d+$/gm) ?? [];
    for (const position of [100n, 101n, 102n, 203n]) lockByte(file, position);
    const before = locks();
    assert.deepEqual(before, [' 100 102', ' 203 203']);
    writeCoherencyRecord(file, 'enforced', ADDRESSES);
    writeCoherencyRecord(file, 'not-enforced', ADDRESSES);
    const after = locks();
    assert.equal(after.length, 3);
    for (const lock of before) assert.ok(after.includes(lock), lock);
  });

  it('counts what fits, and cannot be seen of a process that is not there', () => {
    using file = new Descriptor(open(path, O_RDWR));
    writeCoherencyRecord(
      file,
      'enforced',
      Array.from({length: 1000}, (_, index) => String(index)),
    );
    assert.equal(readCoherencyRecord(process.pid, file.fd)?.members, MOST_MEMBERS);
    assert.equal(readCoherencyRecord(2 ** 30, 3), null);
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
      assert.equal(parseCoherencyRecord(`flags:\t02\n${line}\n`), null, line);
    assert.notEqual(
      parseCoherencyRecord('flags:\t02\nlock:\t1: OFDLCK ADVISORY  READ -1 00:06:123 33 33\n'),
      null,
    );
  });
});

describe('a file that kvfio opened', () => {
  const [full, zero] = ['/dev/full', '/dev/zero'];
  const node = (path: string): FileNode => ({kind: 'group', group: 12, path, device: statSync(path).rdev});

  it('is a device, of that node, and marked', () => {
    using marked = new Descriptor(open(full, O_RDWR | KVFIO_MARK));
    assert.equal(isMarkedFileOf(marked, node(full)), true);
    assert.equal(isMarkedFileOf(marked, node(zero)), false);
    assert.equal(isMarkedFileOf(marked, {...node(full), device: 0}), false, 'the node is still there');
    using plain = new Descriptor(open(full, O_RDWR));
    assert.equal(isMarkedFileOf(plain, node(full)), false);
    using image = new Descriptor(open(import.meta.filename, O_RDWR | KVFIO_MARK));
    assert.equal(isMarkedFileOf(image, {...node(full), device: 0}), false);
  });
});
