import {closeSync, openSync, readFileSync, readSync} from 'node:fs';

/** Bytes at the beginning of an x86 kernel that have its version string: the real-mode part is 32 KiB at most. */
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

/** Whether a file begins as an Image of arm64 does (Documentation/arch/arm64/booting.rst: "ARM\\x64" at byte 56). */
const isArm64Image = (start: Buffer): boolean =>
  start.length >= 60 && start.toString('latin1', 56, 60) === 'ARMd';

/** Reads {@link kernelImageVersion} from a file; of an Image of arm64, which has none in its head, from what it prints first. Throws the file system's own error. */
export const readKernelImageVersion = (path: string): string | null => {
  const start = Buffer.alloc(SETUP_BYTES);
  const file = openSync(path, 'r');
  try {
    const head = start.subarray(0, readSync(file, start, 0, SETUP_BYTES, 0));
    return isArm64Image(head) ? bannerOf(readFileSync(path)) : kernelImageVersion(head);
  } finally {
    closeSync(file);
  }
};

/** `linux_banner` of init/version-timestamp.c: "Linux version 6.1.0-50-arm64 (…". */
const bannerOf = (image: Buffer): string | null => {
  const at = image.indexOf('Linux version ');
  return at === -1 ? null : (image.toString('latin1', at + 14, at + 200).split('\0')[0] ?? null);
};
