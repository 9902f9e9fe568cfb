import {Attributes} from '../../host/attributes.js';
import type {Kernel} from '../../iommu/kernel.js';
import type {Unit} from '../../iommu/unit.js';
import type {HostTree} from '../../host/tree.js';
import {parseKernelRelease} from '../../host/kernel-release.js';
import type {Examined} from './check.js';
import {HostFacts} from './host-facts.js';

/** What the checks need to know of a machine beside a group. Nothing is read before a check asks. */
export const examine = (
  tree: HostTree,
  {kernel, units}: {kernel: Kernel; units: readonly Unit[]},
): Examined => ({
  units: new Map(units.map((unit) => [unit.name, unit])),
  version: kernel.codeVersion === null ? null : parseKernelRelease(kernel.codeVersion),
  mayBeNewer: kernel.codeVersionFrom === 'family',
  facts: new HostFacts(new Attributes(tree), kernel),
});
