import {execFileSync} from 'node:child_process';
import {readFileSync} from 'node:fs';

const SECTOR = 512;
const MOST_BYTES = 256 * 1024 * 1024;

/**
 * The kernel that an x86 image decompresses when it boots, as an ELF file without symbols. Of the compressions only xz is
 * known, which needs the program of that name.
 *
 * Source: Documentation/arch/x86/boot.rst: setup_sects at 0x1f1, payload_offset and payload_length at 0x248.
 */
export const kernelElf = (path: string): Buffer => {
  const image = readFileSync(path);
  const start = ((image[0x1f1] ?? 0) + 1) * SECTOR + image.readUInt32LE(0x248);
  const input = image.subarray(start, start + image.readUInt32LE(0x24c));
  // behind the xz stream stands the size of the kernel
  return execFileSync('xz', ['-dc', '--single-stream'], {input, maxBuffer: MOST_BYTES});
};
