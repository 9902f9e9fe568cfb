import assert from 'node:assert/strict';
import {execFileSync} from 'node:child_process';
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {signatureAt} from '../../../../src/vfio/bind/guards/member-signature.js';
import {needs} from '../../../support/needs.js';

const SIZE = 64 * 1024 * 1024;

const at = (size: number, ...parts: [offset: number, bytes: Buffer | string][]): Buffer => {
  const disk = Buffer.alloc(size);
  for (const [offset, bytes] of parts) disk.set(Buffer.from(bytes), offset);
  return disk;
};

const word = (...bytes: number[]): Buffer => Buffer.from(bytes);
const MD = word(0xfc, 0x4e, 0x2b, 0xa9);

/** A superblock that is whole enough for libblkid, which looks at the version too. */
const md = (offset: number, version: number, sector: number): Buffer => {
  const disk = at(SIZE, [offset, MD]);
  disk.writeUInt32LE(version, offset + 4);
  if (version === 1) disk.writeBigUInt64LE(BigInt(sector), offset + 144);
  return disk;
};

/** `count` uberblocks from the middle of a label on. */
const zfs = (bytes: Buffer, count = 8): Buffer =>
  at(
    SIZE,
    ...Array.from({length: count}, (_, index): [number, Buffer] => [128 * 1024 + index * 1024, bytes]),
  );

const DISKS: Record<string, {disk: Buffer; says: string | null; blkid: string | null}> = {
  'an empty disk': {disk: at(SIZE), says: null, blkid: null},
  'a physical volume': {
    disk: at(SIZE, [512, 'LABELONE'], [512 + 8, word(1)], [512 + 20, word(32)], [512 + 24, 'LVM2 001']),
    says: 'LVM',
    // it checks a sum, too
    blkid: null,
  },
  'an array 1.1': {disk: md(0, 1, 0), says: 'a RAID array (md)', blkid: 'linux_raid_member'},
  'an array 1.2': {disk: md(4096, 1, 8), says: 'a RAID array (md)', blkid: 'linux_raid_member'},
  'an array 1.0': {
    disk: md(SIZE - 8192, 1, SIZE / 512 - 16),
    says: 'a RAID array (md)',
    blkid: 'linux_raid_member',
  },
  'an array 0.90': {disk: md(SIZE - 65536, 0, 0), says: 'a RAID array (md)', blkid: 'linux_raid_member'},
  'a pool': {disk: zfs(word(0x0c, 0xb1, 0xba)), says: 'a ZFS pool', blkid: 'zfs_member'},
  'a pool of the other byte order': {
    disk: zfs(word(0, 0, 0, 0, 0, 0xba, 0xb1, 0x0c)),
    says: 'a ZFS pool',
    blkid: 'zfs_member',
  },
};

describe('what a disk says that it is a member of', () => {
  for (const [name, {disk, says}] of Object.entries(DISKS)) {
    it(`is found on ${name}`, () => {
      assert.equal(
        signatureAt((offset, length) => disk.subarray(offset, offset + length), disk.length),
        says,
      );
    });
  }

  it('is what libblkid finds', function () {
    needs(this, 'blkid');
    const folder = mkdtempSync(join(tmpdir(), 'kvfio-test-'));
    try {
      for (const [name, {disk, blkid}] of Object.entries(DISKS)) {
        if (blkid === null) continue;
        const file = join(folder, 'disk');
        writeFileSync(file, disk);
        const type = execFileSync('blkid', ['-p', '-s', 'TYPE', '-o', 'value', file], {encoding: 'utf8'});
        assert.equal(type.trim(), blkid, name);
      }
    } finally {
      rmSync(folder, {recursive: true});
    }
  });

  it('is nothing on a disk that is too short for any', () => {
    for (const size of [0, 1, 511, 513, 4097, 70000])
      assert.equal(
        signatureAt((offset, length) => Buffer.alloc(size).subarray(offset, offset + length), size),
        null,
      );
  });
});
