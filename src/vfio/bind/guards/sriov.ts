import type {HostTree} from '../../../host/tree.js';
import {folderNames, resolved, treeText, type Guard} from './guard.js';

/** A physical function whose virtual functions are there: they go with its driver, or keep vfio-pci from taking it. */
export const sriovGuard: Guard = ({tree, devices}) =>
  devices.flatMap(({address, path}) => {
    const count = Number(treeText(tree, `${path}/sriov_numvfs`) ?? 0);
    if (!(count > 0)) return [];
    const functions = functionsOf(tree, path);
    return [
      {
        guard: 'sriov' as const,
        device: address,
        found: `it has ${count} virtual ${count === 1 ? 'function' : 'functions'}${functions.length === 0 ? '' : `: ${functions.join(', ')}`}`,
      },
    ];
  });

const functionsOf = (tree: HostTree, path: string): string[] =>
  folderNames(tree, path)
    .filter((name) => /^virtfn\d+$/.test(name))
    .sort((a, b) => Number(a.slice(6)) - Number(b.slice(6)))
    .flatMap((name) => {
      const target = resolved(tree, path, name);
      if (target === null) return [];
      const driver = resolved(tree, target, 'driver');
      return [
        `${target.slice(target.lastIndexOf('/') + 1)} (${driver === null ? 'no driver' : driver.slice(driver.lastIndexOf('/') + 1)})`,
      ];
    });
