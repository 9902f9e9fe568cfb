/** One file, or with `data` absent one directory, of an archive. Paths have no leading slash. */
export interface ArchiveEntry {
  path: string;
  /** Permission bits, such as 0o755. */
  mode: number;
  data?: Buffer;
}

const DIRECTORY = 0o040000;
const REGULAR_FILE = 0o100000;

/**
 * A cpio archive in the "newc" format, the one that the kernel unpacks as initramfs.
 *
 * Format: Documentation/driver-api/early-userspace/buffer-format.rst. A directory must come before what is in it.
 */
export const cpioArchive = (entries: ArchiveEntry[]): Buffer =>
  Buffer.concat([...entries.flatMap((entry, index) => record(entry, index + 1)), ...record(TRAILER, 0)]);

const TRAILER: ArchiveEntry = {path: 'TRAILER!!!', mode: 0, data: Buffer.alloc(0)};

const record = ({path, mode, data}: ArchiveEntry, inode: number): Buffer[] => {
  const name = Buffer.from(`${path}\0`);
  const type = data === undefined ? DIRECTORY : REGULAR_FILE;
  const size = data?.length ?? 0;
  // ino, mode, uid, gid, nlink, mtime, filesize, dev major and minor, rdev major and minor, namesize, check
  const fields = [inode, type | mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name.length, 0];
  const header = Buffer.from(`070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`);
  return [header, name, padding(header.length + name.length), data ?? Buffer.alloc(0), padding(size)];
};

/** Name and data both end on a multiple of four bytes. */
const padding = (length: number): Buffer => Buffer.alloc(-length & 3);
