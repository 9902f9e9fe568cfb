import type {HostTree} from '../../host/tree.js';
import {SyscallError} from '../../linux/errno.js';
import {folderNames, resolved, treeText} from './guards/guard.js';

/** How many virtual functions of a physical one are there; 0 of any other device. Throws a {@link SyscallError}. */
export const countOfFunctions = (tree: HostTree, path: string): number => {
  const count = Number(treeText(tree, `${path}/sriov_numvfs`) ?? 0);
  return count > 0 ? count : 0;
};

/** Folders of a device's virtual functions, in the order of their numbers. Throws a {@link SyscallError}. */
export const functionsOf = (tree: HostTree, path: string): string[] =>
  folderNames(tree, path)
    .filter((name) => /^virtfn\d+$/.test(name))
    .sort((a, b) => Number(a.slice(6)) - Number(b.slice(6)))
    .flatMap((name) => resolved(tree, path, name) ?? []);

/** The same of a device whose folder may not be readable: none then, and a guard says so. */
export const knownFunctionsOf = (tree: HostTree, path: string): string[] => {
  try {
    return countOfFunctions(tree, path) === 0 ? [] : functionsOf(tree, path);
  } catch (error) {
    if (error instanceof SyscallError) return [];
    throw error;
  }
};
