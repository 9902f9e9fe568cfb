import assert from 'node:assert/strict';
import {execFileSync} from 'node:child_process';
import {readFileSync} from 'node:fs';
import {payloadOf} from '../../src/lab/decompressed-image.js';

const MOST_BYTES = 256 * 1024 * 1024;

/**
 * The kernel that an x86 image decompresses when it boots, as an ELF file without symbols. Of the compressions only xz is
 * known, which needs the program of that name.
 */
export const kernelElf = (path: string): Buffer => {
  const input = payloadOf(readFileSync(path)) ?? assert.fail(`${path} is no bzImage`);
  return execFileSync('xz', ['-dc'], {input, maxBuffer: MOST_BYTES});
};
