import {spawnSync} from 'node:child_process';
import {createHash} from 'node:crypto';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
} from 'node:fs';
import {join} from 'node:path';
import {PT_NOTE, segmentsOf} from '../linux/proc/elf.js';
import {which} from './programs.js';
import {temporaryFolder} from './scratch.js';

/** What decompresses a kernel, by how the compressed data begins. */
const DECOMPRESSORS = [
  {magic: Buffer.from('fd377a585a00', 'hex'), program: 'xz'},
  {magic: Buffer.from('28b52ffd', 'hex'), program: 'zstd'},
] as const;

export interface DecompressOptions {
  /** Folder where decompressed kernels are kept. */
  cache: string;
  /** The PATH in which programs are looked up. */
  path: string;
}

/**
 * The path of the kernel of a bzImage, decompressed, which QEMU starts at its PVH entry. An emulated processor takes 3 seconds to
 * decompress it, a third of the boot; here it is done once for each image.
 *
 * Null where that cannot be: the kernel has no PVH entry (CONFIG_PVH), is compressed in another way, or there is no program for it.
 */
export const decompressedImage = (image: string, {cache, path}: DecompressOptions): string | null => {
  const bytes = readFileSync(image);
  const folder = join(cache, 'decompressed');
  const kept = join(folder, createHash('sha256').update(bytes).digest('hex'));
  if (!existsSync(kept)) {
    const payload = payloadOf(bytes);
    const {program} = DECOMPRESSORS.find(({magic}) => payload?.subarray(0, magic.length).equals(magic)) ?? {};
    const file = program === undefined ? null : which(program, path);
    if (payload === null || file === null) return null;
    mkdirSync(folder, {recursive: true});
    if (!decompress(payload, file, {kept, cache})) return null;
  }
  // an empty file stands for a kernel without a PVH entry
  return statSync(kept).size === 0 ? null : kept;
};

/** Whether it could be done. */
const decompress = (
  payload: Buffer,
  program: string,
  {kept, cache}: {kept: string; cache: string},
): boolean => {
  const work = temporaryFolder(cache);
  try {
    const made = join(work, 'kernel');
    const output = openSync(made, 'w');
    const {status} = spawnSync(program, ['-dc'], {input: payload, stdio: ['pipe', output, 'ignore']});
    closeSync(output);
    if (status !== 0) return false;
    if (!hasPvhEntry(readFileSync(made))) truncateSync(made);
    renameSync(made, kept);
    return true;
  } finally {
    rmSync(work, {recursive: true, force: true});
  }
};

/**
 * The compressed kernel of a bzImage, without the size that the build appends to it.
 *
 * Source: Documentation/arch/x86/boot.rst: setup_sects at 0x1f1, payload_offset at 0x248 and payload_length at 0x24c, counted
 * from the protected-mode code; size_append in scripts/Makefile.lib.
 */
export const payloadOf = (image: Buffer): Buffer | null => {
  if (image.length < 0x250 || image.toString('latin1', 0x202, 0x206) !== 'HdrS') return null;
  const code = ((image[0x1f1] || 4) + 1) * 512;
  const start = code + image.readUInt32LE(0x248);
  return image.subarray(start, start + image.readUInt32LE(0x24c) - 4);
};

/** Whether an ELF kernel has XEN_ELFNOTE_PHYS32_ENTRY (include/xen/interface/elfnote.h), at which QEMU can start it. */
export const hasPvhEntry = (elf: Buffer): boolean =>
  (segmentsOf(elf) ?? []).some(
    ({type, start, length}) => type === PT_NOTE && isAmongNotes(elf.subarray(start, start + length)),
  );

const XEN_ELFNOTE_PHYS32_ENTRY = 18;

/** Notes as elf(5) has them: two sizes and the type, then name and description, each padded to four bytes. */
const isAmongNotes = (notes: Buffer): boolean => {
  const padded = (length: number): number => Math.ceil(length / 4) * 4;
  for (let at = 0; at + 12 <= notes.length;) {
    const [name, description] = [notes.readUInt32LE(at), notes.readUInt32LE(at + 4)];
    const isXen = notes.toString('latin1', at + 12, at + 12 + name) === 'Xen\0';
    if (isXen && notes.readUInt32LE(at + 8) === XEN_ELFNOTE_PHYS32_ENTRY) return true;
    at += 12 + padded(name) + padded(description);
  }
  return false;
};
