import {isAtLeast, type KernelVersion} from '../host/kernel-release.js';
import type {Attributes} from '../host/attributes.js';
import {KERNEL_NAME_FILES, kernelNamesIn, type KernelName} from '../host/kernel-names.js';
import {vendorOf} from './vendor-kernel.js';

/**
 * How a kernel decides whether a VFIO group is coherent, that is what KVM learns on ADD
 * (virt/kvm/vfio.c, kvm_vfio_update_coherency):
 *
 * - `devices`, since 6.2: every device of the group that is bound to a VFIO driver when ADD runs has an IOMMU that
 *   enforces coherency; containers do not matter (drivers/vfio/group.c, vfio_group_enforced_coherent).
 * - `container`, 5.19 to 6.1: every domain of the group's container enforces it, and a domain does when the unit of
 *   every member does; no container counts as coherent (vfio_main.c, vfio_file_enforced_coherent).
 * - `all-units`, before 5.19: as `container`, but for Intel every active unit of the host must have snoop control.
 */
export type CoherencyRule = 'devices' | 'container' | 'all-units';

/**
 * What shows what code a kernel has: `btf` and `kallsyms` are its functions, in /sys/kernel/btf or /proc/kallsyms; `family` is what
 * kvfio knows of a vendor's kernels, whose version misleads; `version` is that of the release.
 */
export type RuleSource = 'btf' | 'kallsyms' | 'family' | 'version';

export interface KernelCoherency {
  /** The kernel's rule; of a kernel of unknown release that of current kernels. */
  coherencyRule: CoherencyRule;
  coherencyRuleFrom: RuleSource;
}

/** Vendors take the rule of newer kernels to older ones, never the reverse, so only old ones are looked at. */
export const readCoherencyRule = (
  attributes: Attributes,
  release: string | null,
  version: KernelVersion | null,
): KernelCoherency => {
  const byVersion = coherencyRule(version);
  if (byVersion === 'devices') return {coherencyRule: byVersion, coherencyRuleFrom: 'version'};
  const vendor = vendorOf(release);
  // the others are long, and of use only where the version misleads
  const sources = SOURCES.filter(({path}) => path === KERNEL_NAME_FILES.vfio || vendor !== null);
  for (const {from, path} of sources) {
    const names = kernelNamesIn(attributes, path);
    const shown = RULES.find(({name}) => names?.has(name));
    if (shown !== undefined) return {coherencyRule: shown.rule, coherencyRuleFrom: from};
  }
  if (vendor === null) return {coherencyRule: byVersion, coherencyRuleFrom: 'version'};
  return {coherencyRule: asksDevices(release) ? 'devices' : byVersion, coherencyRuleFrom: 'family'};
};

/** The rule of a version of Linux; null: that of current kernels. */
export const coherencyRule = (version: KernelVersion | null): CoherencyRule => {
  if (version === null || isAtLeast(version, 6, 2)) return 'devices';
  return isAtLeast(version, 5, 19) ? 'container' : 'all-units';
};

/** Where the functions of VFIO are listed. The list of the kernel itself has those of a VFIO that is built in. */
const SOURCES: readonly {from: 'btf' | 'kallsyms'; path: string}[] = [
  {from: 'btf', path: KERNEL_NAME_FILES.vfio},
  {from: 'btf', path: KERNEL_NAME_FILES.kernel},
  {from: 'kallsyms', path: KERNEL_NAME_FILES.symbols},
];

/** Functions of VFIO by which KVM, or what KVM calls, asks; the first that a kernel has decides. */
const RULES: readonly {name: KernelName; rule: CoherencyRule}[] = [
  {name: 'vfio_group_enforced_coherent', rule: 'devices'},
  {name: 'vfio_file_enforced_coherent', rule: 'container'},
  {name: 'vfio_external_check_extension', rule: 'all-units'},
];

/**
 * Whether a kernel is of RHEL 9 with vfio_group_enforced_coherent(), by the number of its build. 5.14.0-309.el9, which became 9.3, is
 * the first build whose change log shows what came to VFIO after that, as "vfio: Support VFIO_NOIOMMU with iommufd". What older
 * builds have was not read: for them the version stands, as what is taken of the family.
 */
export const asksDevices = (release: string | null): boolean => {
  const [, build] = /^5\.14\.0-(\d+)\./.exec(release ?? '') ?? [];
  return vendorOf(release) === 'RHEL 9' && Number(build) >= FIRST_BUILD_THAT_ASKS_DEVICES;
};

const FIRST_BUILD_THAT_ASKS_DEVICES = 309;
