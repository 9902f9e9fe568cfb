import {countOfFunctions, functionsOf} from '../virtual-functions.js';
import {resolved, type Guard} from './guard.js';

/** A physical function whose virtual functions are there: they go with its driver, or keep vfio-pci from taking it. */
export const sriovGuard: Guard = ({tree, devices}) =>
  devices.flatMap(({address, path}) => {
    const count = countOfFunctions(tree, path);
    if (count === 0) return [];
    const functions = functionsOf(tree, path).map((target) => {
      const driver = resolved(tree, target, 'driver');
      return `${nameOf(target)} (${driver === null ? 'no driver' : nameOf(driver)})`;
    });
    return [
      {
        guard: 'sriov' as const,
        device: address,
        found: `it has ${count} virtual ${count === 1 ? 'function' : 'functions'}${functions.length === 0 ? '' : `: ${functions.join(', ')}`}`,
      },
    ];
  });

const nameOf = (path: string): string => path.slice(path.lastIndexOf('/') + 1);
