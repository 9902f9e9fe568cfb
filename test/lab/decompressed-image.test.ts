import assert from 'node:assert/strict';
import {chmodSync, mkdirSync, readFileSync, readdirSync, writeFileSync} from 'node:fs';
import {decompressedImage, hasPvhEntry, payloadOf} from '../../src/lab/decompressed-image.js';
import {scratch} from '../vm/vmm.js';

const XZ = Buffer.from('fd377a585a00', 'hex');

/** An ELF file with one segment of notes. */
const elf = (...notes: [owner: string, type: number][]): Buffer => {
  const head = Buffer.alloc(64 + 56);
  head.write('\x7fELF', 'latin1');
  head.writeBigUInt64LE(64n, 32);
  head.writeUInt16LE(56, 54);
  head.writeUInt16LE(1, 56);
  const segment = Buffer.concat(
    notes.map(([owner, type]) => {
      const note = Buffer.alloc(12 + Math.ceil(owner.length / 4) * 4 + 4);
      note.writeUInt32LE(owner.length, 0);
      note.writeUInt32LE(3, 4);
      note.writeUInt32LE(type, 8);
      note.write(owner, 12, 'latin1');
      return note;
    }),
  );
  head.writeUInt32LE(4, 64);
  head.writeBigUInt64LE(BigInt(head.length), 64 + 8);
  head.writeBigUInt64LE(BigInt(segment.length), 64 + 32);
  return Buffer.concat([head, segment]);
};

const PVH = elf(['GNU\0', 3], ['Linux\0', 18], ['Xen\0', 18]);
const NO_PVH = elf(['GNU\0', 3], ['Linux\0', 18], ['Xen\0', 5]);

/** A bzImage with a head of two sectors, whose code begins with 16 bytes of its own. */
const bzImage = (payload: Buffer): Buffer => {
  const head = Buffer.alloc(2 * 512 + 16);
  head[0x1f1] = 1;
  head.write('HdrS', 0x202, 'latin1');
  head.writeUInt32LE(16, 0x248);
  head.writeUInt32LE(payload.length + 4, 0x24c);
  return Buffer.concat([head, payload, Buffer.from('size'), Buffer.from('what follows')]);
};

describe('the compressed kernel of a bzImage', () => {
  it('is found by the head, without its size', () => {
    assert.equal(payloadOf(bzImage(Buffer.from('payload')))?.toString(), 'payload');
    assert.equal(payloadOf(Buffer.alloc(0x250)), null);
    assert.equal(payloadOf(Buffer.alloc(10)), null);
  });
});

describe('the PVH entry of a kernel', () => {
  it('is a note of its own type and owner', () => {
    assert.equal(hasPvhEntry(PVH), true);
    assert.equal(hasPvhEntry(NO_PVH), false);
    assert.equal(hasPvhEntry(elf()), false);
    assert.equal(hasPvhEntry(Buffer.from('no ELF')), false);
  });
});

describe('the decompressed image', () => {
  /** A cache and an xz that takes the magic number away, which has kvfio decompress this bzImage. */
  const tried = (image: Buffer, decompressor = 'tail -c +7'): {result: string | null; kept: string[]} => {
    using folder = scratch();
    const path = folder.path('bin');
    mkdirSync(path);
    writeFileSync(`${path}/xz`, `#!/bin/sh\nexec ${decompressor}\n`);
    chmodSync(`${path}/xz`, 0o755);
    writeFileSync(folder.path('image'), image);
    const cache = folder.path('cache');
    mkdirSync(cache);
    const results = [1, 2].map(() => {
      const file = decompressedImage(folder.path('image'), {cache, path});
      return file === null ? null : readFileSync(file, 'latin1');
    });
    assert.equal(results[0], results[1], 'made, then kept');
    return {result: results[0] ?? null, kept: readdirSync(cache)};
  };

  it('is the kernel, kept under the cache', () => {
    const {result, kept} = tried(bzImage(Buffer.concat([XZ, PVH])));
    assert.equal(result, PVH.toString('latin1'));
    assert.deepEqual(kept, ['decompressed']);
  });

  it('is none for a kernel that QEMU cannot start without its head', () => {
    assert.equal(tried(bzImage(Buffer.concat([XZ, NO_PVH]))).result, null);
  });

  it('is none where the kernel cannot be decompressed, and leaves nothing', () => {
    const failed = tried(bzImage(Buffer.concat([XZ, PVH])), 'false');
    assert.deepEqual(failed, {result: null, kept: ['decompressed']});
    assert.equal(tried(bzImage(Buffer.from('packed by another'))).result, null);
    assert.equal(tried(Buffer.from('no image')).result, null);
  });
});
