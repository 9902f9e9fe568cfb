import {closeSync, openSync, readSync} from 'node:fs';

/** No x86 kernel has its version string further in than this: the real-mode part is 32 KiB at most. */
const SETUP_BYTES = 64 * 1024;

/**
 * The version string inside an x86 kernel image, such as `6.1.0-56-amd64 (…) #1 SMP …`, or null where the bytes
 * are no such image.
 *
 * Source: Documentation/arch/x86/boot.rst: "HdrS" at 0x202, kernel_version at 0x20e, counted from 0x200.
 */
export const kernelImageVersion = (start: Buffer): string | null => {
  if (start.length < 0x210 || start.toString('latin1', 0x202, 0x206) !== 'HdrS') return null;
  const version = start.readUInt16LE(0x20e) + 0x200;
  const end = start.indexOf(0, version);
  return version === 0x200 || end === -1 ? null : start.toString('latin1', version, end);
};

/** Reads {@link kernelImageVersion} from a file. Throws the file system's own error. */
export const readKernelImageVersion = (path: string): string | null => {
  const start = Buffer.alloc(SETUP_BYTES);
  const file = openSync(path, 'r');
  try {
    return kernelImageVersion(start.subarray(0, readSync(file, start, 0, SETUP_BYTES, 0)));
  } finally {
    closeSync(file);
  }
};
