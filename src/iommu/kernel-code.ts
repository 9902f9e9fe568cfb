import {isAtLeast, type KernelVersion} from '../host/kernel-release.js';
import type {Attributes} from '../host/attributes.js';
import {asksDevices, type RuleSource} from './coherency-rule.js';
import {KERNEL_NAME_FILES, kernelNamesIn, type KernelName} from '../host/kernel-names.js';
import {vendorOf} from './vendor-kernel.js';

/** How old the code of VFIO and of the IOMMUs is in a kernel. */
export interface KernelCode {
  /** The family of a vendor that takes newer code to older kernels, such as `RHEL 9`; null of any other kernel. */
  vendor: string | null;
  /** The version of Linux that has the same, as `6.6`; null when the release could not be read. */
  codeVersion: string | null;
  /** What shows that. By the `family` alone it may also be that of any newer version. */
  codeVersionFrom: RuleSource;
}

/** What shows how old the code of a vendor's kernel is, for those whose version misleads. */
export const readKernelCode = (
  attributes: Attributes,
  release: string | null,
  version: KernelVersion | null,
): KernelCode => {
  const vendor = vendorOf(release);
  if (version === null) return {vendor, codeVersion: null, codeVersionFrom: 'version'};
  // no check of VFIO has changed its answer after that
  if (vendor === null || isAtLeast(version, ...LAST_CHANGE))
    return {vendor, codeVersion: text(version), codeVersionFrom: 'version'};
  for (const {from, path} of SOURCES) {
    const names = kernelNamesIn(attributes, path);
    const shown =
      names === null ? undefined : MARKS.find((mark) => mark.names.some((name) => names.has(name)));
    if (shown !== undefined)
      return {vendor, codeVersion: text(newer(version, shown.since)), codeVersionFrom: from};
  }
  const least = asksDevices(release) ? newer(version, DMA_OWNERS) : version;
  return {vendor, codeVersion: text(least), codeVersionFrom: 'family'};
};

/** RMRRs and IVMDs keep devices of all IOMMUs from VFIO, by another call than before. */
const LAST_CHANGE = [6, 6] as const;

/** VFIO claims the DMA of a group, which vfio_group_enforced_coherent() came after. */
const DMA_OWNERS: KernelVersion = {major: 5, minor: 19};

const SOURCES = [
  {from: 'btf', path: KERNEL_NAME_FILES.kernel},
  {from: 'kallsyms', path: KERNEL_NAME_FILES.symbols},
] as const;

/** What came with which version; the first that a kernel has decides. */
const MARKS: readonly {since: KernelVersion; names: readonly KernelName[]}[] = [
  {since: {major: 6, minor: 6}, names: ['require_direct', 'iommu_alloc_global_pasid']},
  {since: {major: 6, minor: 2}, names: ['blocking_domain_attach_dev']},
  {since: DMA_OWNERS, names: ['iommu_group_claim_dma_owner']},
  {since: {major: 0, minor: 0}, names: ['iommu_group_alloc']},
];

const newer = (one: KernelVersion, other: KernelVersion): KernelVersion =>
  isAtLeast(one, other.major, other.minor) ? one : other;

const text = ({major, minor}: KernelVersion): string => `${major}.${minor}`;
