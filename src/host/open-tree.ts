import {readFileSync, statSync, type Stats} from 'node:fs';
import {gunzipSync} from 'node:zlib';
import {Failure} from '../failure.js';
import {CaptureTree, type Capture} from './capture.js';
import {DirectoryTree} from './directory-tree.js';
import {SyscallError} from '../linux/errno.js';
import type {HostTree} from './tree.js';

/** Largest capture that is read or unpacked by default, in bytes. */
const CAPTURE_LIMIT = 512 * 1024 * 1024;

/**
 * Opens the machine that `--sysroot` names: this one without it, a folder that holds `sys` and `proc`, or a
 * capture made by `kvfio snapshot`.
 *
 * @param limit largest capture that is read or unpacked, in bytes
 * @throws Failure when it is neither
 */
export const openTree = (sysroot: string | undefined, limit = CAPTURE_LIMIT): HostTree => {
  if (sysroot === undefined) return new DirectoryTree();
  const stats = statOf(sysroot);
  if (stats.isDirectory()) return openDirectory(sysroot);
  if (!stats.isFile()) throw unusable(sysroot, 'It is neither a folder nor a regular file.');
  if (stats.size > limit) throw tooLarge(sysroot, limit);
  return new CaptureTree(parseCapture(sysroot, readFile(sysroot), limit), sysroot);
};

const openDirectory = (folder: string): HostTree => {
  const root = folder.replace(/\/+$/, '');
  const tree = new DirectoryTree(root);
  // the root of this machine is a fine sysroot, too
  if (root === '') return tree;
  const sys = tree.list('/sys');
  if (!(sys instanceof SyscallError)) return tree;
  if (sys.code === 'EACCES') throw unreadable(folder, 'EACCES');
  throw unusable(folder, 'The folder has no folder named sys in it.');
};

const parseCapture = (path: string, bytes: Buffer, limit: number): Capture => {
  const packed = bytes[0] === 0x1f && bytes[1] === 0x8b;
  let document: unknown;
  try {
    document = JSON.parse((packed ? gunzipSync(bytes, {maxOutputLength: limit}) : bytes).toString('utf8'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge(path, limit);
    throw unusable(
      path,
      packed
        ? 'The packed file is damaged, or holds no JSON.'
        : 'The file is not a capture: it does not hold JSON.',
    );
  }
  if (isCapture(document)) return document;
  const version = isRecord(document) ? document['kvfioCapture'] : undefined;
  throw unusable(
    path,
    typeof version === 'number' && version > 1
      ? `The capture has format ${version}, which this version of kvfio does not know.`
      : 'The file holds JSON, but is not a capture.',
  );
};

const isCapture = (document: unknown): document is Capture =>
  isRecord(document) &&
  document['kvfioCapture'] === 1 &&
  shelf(document['texts'], (text) => typeof text === 'string') &&
  shelf(document['links'], (text) => typeof text === 'string') &&
  shelf(document['refusals'], (errno) => Number.isInteger(errno)) &&
  shelf(
    document['directories'],
    (names) => Array.isArray(names) && names.every((name) => typeof name === 'string'),
  ) &&
  shelf(document['parts'], (parts) => shelf(parts, (bytes) => typeof bytes === 'string'));

const shelf = (value: unknown, accepts: (entry: unknown) => boolean): boolean =>
  isRecord(value) && Object.values(value).every(accepts);

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const statOf = (path: string): Stats => attempt(path, () => statSync(path));

const readFile = (path: string): Buffer => attempt(path, () => readFileSync(path));

const attempt = <T>(path: string, call: () => T): T => {
  try {
    return call();
  } catch (error) {
    throw unreadable(path, error instanceof Error && 'code' in error ? String(error.code) : 'unknown');
  }
};

const unreadable = (path: string, errno: string): Failure =>
  new Failure({
    code: 'SYSROOT_UNREADABLE',
    kind: errno === 'EACCES' ? 'permission' : 'notFound',
    what: `${path} cannot be read as a machine.`,
    why:
      errno === 'ENOENT'
        ? 'There is no such file or folder.'
        : errno === 'EACCES'
          ? 'You may not read it (EACCES).'
          : `The kernel answered ${errno}.`,
    hint:
      errno === 'EACCES' ? 'Run kvfio as a user who may read it, or have it copied to where you may.' : HINT,
    errno,
  });

const unusable = (path: string, why: string): Failure =>
  new Failure({
    code: 'SYSROOT_UNUSABLE',
    kind: 'usage',
    what: `${path} cannot be read as a machine.`,
    why,
    hint: HINT,
  });

const tooLarge = (path: string, limit: number): Failure =>
  unusable(path, `It is larger than the ${limit / 2 ** 20} MiB that are read of a capture.`);

const HINT = 'Name the folder that holds sys and proc, or a file made by "kvfio snapshot".';
