import {SyscallError} from '../../../linux/errno.js';
import type {HostTree} from '../../../host/tree.js';
import {folderNames, treeText} from './guard.js';

export interface Mount {
  /** `259:2`; of btrfs and others a number that no device has. */
  number: string;
  point: string;
  /** Name of the file system: `ext4`, `9p`. */
  type: string;
  source: string;
}

/** The mounts of every mount namespace in which a process is that may be looked into. */
export const readMounts = (tree: HostTree): Mount[] =>
  onePerNamespace(tree).flatMap((process) => parseMountInfo(mountInfoOf(tree, process)));

/** Empty for a process that has ended, even a zombie (fs/proc_namespace.c, mounts_open_common). */
const mountInfoOf = (tree: HostTree, process: string): string => {
  try {
    return treeText(tree, `/proc/${process}/mountinfo`) ?? '';
  } catch (error) {
    if (process !== 'self' && error instanceof SyscallError && ENDED.includes(error.code)) return '';
    throw error;
  }
};

const ENDED = ['EINVAL', 'ESRCH'];

/** This process, and one process for each other mount namespace (namespaces(7), /proc/pid/ns/mnt). */
const onePerNamespace = (tree: HostTree): string[] => {
  const found = new Map<string, string>();
  for (const process of ['self', ...folderNames(tree, '/proc').filter((name) => /^\d+$/.test(name))]) {
    const namespace = tree.link(`/proc/${process}/ns/mnt`);
    // one without a link is looked at all the same, as in the files of another machine
    const key = typeof namespace === 'string' ? namespace : process;
    if (!found.has(key)) found.set(key, process);
  }
  return [...found.values()];
};

/** proc(5), /proc/pid/mountinfo. */
const parseMountInfo = (text: string): Mount[] =>
  text.split('\n').flatMap((line) => {
    const fields = line.split(' ');
    const dash = fields.indexOf('-', 6);
    const [number, point, type, source] = [fields[2], fields[4], fields[dash + 1], fields[dash + 2]];
    if (
      dash === -1 ||
      number === undefined ||
      point === undefined ||
      type === undefined ||
      source === undefined
    )
      return [];
    return [{number, point: unescaped(point), type, source: unescaped(source)}];
  });

/** Blanks and their like are octal in tables of /proc (fs/seq_file.c, mangle_path). */
export const unescaped = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(parseInt(digits, 8)));
