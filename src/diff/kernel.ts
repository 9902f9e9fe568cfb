import type {Kernel} from '../iommu/kernel.js';
import {changesOf, type FactChange, type FactValues} from './change.js';

/** What may differ of the kernels; of the command line what concerns IOMMU, VFIO, PCI and KVM. */
export type KernelField = 'release' | 'stable' | 'architecture' | 'commandLine';

/** What differs of two kernels. */
export interface KernelDifference {
  changes: FactChange<KernelField>[];
  /** Parameters that only the command line of B has. */
  added: string[];
  /** Parameters that only the command line of A has. */
  removed: string[];
}

export const KERNEL_FACTS: FactValues<Kernel, KernelField> = {
  release: ({release}) => release,
  stable: ({stable}) => (stable === null ? null : String(stable)),
  architecture: ({architecture}) => architecture,
  commandLine: ({parameters}) => parameters?.join(' ') ?? null,
};

export const kernelDifference = (a: Kernel, b: Kernel): KernelDifference => ({
  changes: changesOf(a, b, KERNEL_FACTS),
  added: without(b.parameters, a.parameters),
  removed: without(a.parameters, b.parameters),
});

/** Those that are more often in the one than in the other: a parameter may be given several times. */
const without = (some: readonly string[] | null, others: readonly string[] | null): string[] => {
  const left = new Map<string, number>();
  for (const each of others ?? []) left.set(each, (left.get(each) ?? 0) + 1);
  return (some ?? []).filter((each) => {
    const count = left.get(each) ?? 0;
    left.set(each, count - 1);
    return count <= 0;
  });
};
