import type {Capture} from './capture.js';
import {SyscallError} from '../linux/errno.js';
import type {ReadAt} from './tree.js';
import type {Attributes} from './attributes.js';

/**
 * Files that name the functions of a kernel, which everybody may read: BTF of the kernel itself and of its module vfio (there while
 * that is loaded), which name the members of structures, too, and the list of symbols, which is long.
 */
export const KERNEL_NAME_FILES = {
  vfio: '/sys/kernel/btf/vfio',
  kernel: '/sys/kernel/btf/vmlinux',
  symbols: '/proc/kallsyms',
} as const;

/** Names by which kvfio recognises what code a kernel has. */
const ASKED = [
  // drivers/vfio: what KVM, or what KVM calls, asks for coherency
  'vfio_group_enforced_coherent',
  'vfio_file_enforced_coherent',
  'vfio_external_check_extension',
  // drivers/iommu/iommu.c, in every kernel with groups
  'iommu_group_alloc',
  // since 5.19, 6.2 (drivers/iommu/intel/iommu.c) and, both, 6.6
  'iommu_group_claim_dma_owner',
  'blocking_domain_attach_dev',
  'require_direct',
  'iommu_alloc_global_pasid',
] as const;

export type KernelName = (typeof ASKED)[number];

/** Those that a file has, which is read once; null where it cannot be read. */
export const kernelNamesIn = (attributes: Attributes, path: string): ReadonlySet<KernelName> | null => {
  const known = READ.get(attributes) ?? new Map<string, ReadonlySet<KernelName> | null>();
  READ.set(attributes, known);
  const before = known.get(path);
  if (before !== undefined) return before;
  const names = attributes.tree.inspect(path, search);
  known.set(path, names instanceof SyscallError ? null : names);
  return known.get(path) ?? null;
};

const READ = new WeakMap<Attributes, Map<string, ReadonlySet<KernelName> | null>>();

/** What {@link kernelNamesIn} needs of captured files: the names that decide. */
export const cutNames = ({parts}: Pick<Capture, 'parts'>): void => {
  for (const path of Object.values(KERNEL_NAME_FILES)) {
    const captured = parts[path];
    if (captured === undefined) continue;
    const bytes = Buffer.from(Object.values(captured).join(''), 'hex');
    const names = search((offset, length) => bytes.subarray(offset, offset + length));
    parts[path] = {0: Buffer.from([...names].join('\n'), 'latin1').toString('hex')};
  }
};

/** Read in parts: they take megabytes. */
const search = (at: ReadAt): Set<KernelName> => {
  const found = new Set<KernelName>();
  let rest = '';
  for (let offset = 0; offset < LIMIT;) {
    const part = at(offset, PART).toString('latin1');
    const isLast = part === '';
    offset += part.length;
    const text = rest + part;
    for (const name of ASKED) if (!found.has(name) && hasWhole(text, name, isLast)) found.add(name);
    if (isLast) break;
    rest = text.slice(-LONGEST);
  }
  return found;
};

/** Whether a text has a name that is not part of a longer one. One at its end is looked at again with what follows. */
const hasWhole = (text: string, name: string, isLast: boolean): boolean => {
  for (let start = text.indexOf(name); start !== -1; start = text.indexOf(name, start + 1)) {
    const end = start + name.length;
    if (end === text.length && !isLast) return false;
    if (!isWord(text[start - 1]) && !isWord(text[end])) return true;
  }
  return false;
};

const isWord = (character: string | undefined): boolean => character !== undefined && /\w/.test(character);

/** Length of the longest name, with the character before it. */
const LONGEST = Math.max(...ASKED.map((name) => name.length)) + 1;
const PART = 64 * 1024;
const LIMIT = 64 * 1024 * 1024;
