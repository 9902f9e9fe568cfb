import type {Capture} from '../linux/capture.js';
import {SyscallError} from '../linux/errno.js';
import type {ReadAt} from '../linux/host-tree.js';
import {isAtLeast, type KernelVersion} from '../linux/kernel-release.js';
import type {Attributes} from './attributes.js';

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
 * What shows which rule a kernel has: `btf` and `kallsyms` are the functions of its VFIO, in /sys/kernel/btf/vfio or
 * /proc/kallsyms; `family` is what kvfio knows of a vendor's kernels, whose version misleads; `version` is that of the release.
 */
export type RuleSource = 'btf' | 'kallsyms' | 'family' | 'version';

export interface KernelCoherency {
  /** Null release: the rule of current kernels is assumed. */
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
  const family = RHEL_9.exec(release ?? '');
  // long, and of use only where the version misleads
  const sources = SOURCES.filter(({from}) => from === 'btf' || family !== null);
  for (const {from, path} of sources) {
    const names = attributes.tree.inspect(path, functionsIn);
    const shown = names instanceof SyscallError ? undefined : RULES.find(({name}) => names.has(name));
    if (shown !== undefined) return {coherencyRule: shown.rule, coherencyRuleFrom: from};
  }
  if (family === null) return {coherencyRule: byVersion, coherencyRuleFrom: 'version'};
  const asksDevices = Number(family[1]) >= FIRST_BUILD_THAT_ASKS_DEVICES;
  return {coherencyRule: asksDevices ? 'devices' : byVersion, coherencyRuleFrom: 'family'};
};

/** Null version: that of current kernels. */
export const coherencyRule = (version: KernelVersion | null): CoherencyRule => {
  if (version === null || isAtLeast(version, 6, 2)) return 'devices';
  return isAtLeast(version, 5, 19) ? 'container' : 'all-units';
};

/** What {@link readCoherencyRule} needs of captured files: the names that decide. */
export const cutFunctions = ({parts}: Pick<Capture, 'parts'>): void => {
  for (const {path} of SOURCES) {
    const captured = parts[path];
    if (captured === undefined) continue;
    const bytes = Buffer.from(Object.values(captured).join(''), 'hex');
    const names = functionsIn((offset, length) => bytes.subarray(offset, offset + length));
    parts[path] = {0: Buffer.from([...names].join('\n'), 'latin1').toString('hex')};
  }
};

const SOURCES: readonly {from: 'btf' | 'kallsyms'; path: string}[] = [
  {from: 'btf', path: '/sys/kernel/btf/vfio'},
  {from: 'kallsyms', path: '/proc/kallsyms'},
];

/** Functions of VFIO by which KVM, or what KVM calls, asks; the first that a kernel has decides. */
const RULES: readonly {name: string; rule: CoherencyRule}[] = [
  {name: 'vfio_group_enforced_coherent', rule: 'devices'},
  {name: 'vfio_file_enforced_coherent', rule: 'container'},
  {name: 'vfio_external_check_extension', rule: 'all-units'},
];

/**
 * Releases of RHEL 9 and what is built from it. 5.14.0-309.el9, which became 9.3, is the first build whose change log shows what came
 * to VFIO after vfio_group_enforced_coherent(), as "vfio: Support VFIO_NOIOMMU with iommufd". What older builds have was
 * not read: for them the version stands, as what is taken of the family.
 */
const RHEL_9 = /^5\.14\.0-(\d+)(?:\.\w+)*?\.el9(?:_\d+)?(?:\.(?!elrepo)|$)/;
const FIRST_BUILD_THAT_ASKS_DEVICES = 309;

/** The names of {@link RULES} in a file, which is read in parts: that of all symbols is long. */
const functionsIn = (at: ReadAt): Set<string> => {
  const found = new Set<string>();
  let rest = '';
  for (let offset = 0; offset < LIMIT;) {
    const part = at(offset, PART).toString('latin1');
    if (part === '') break;
    offset += part.length;
    const text = rest + part;
    for (const {name} of RULES) if (text.includes(name)) found.add(name);
    rest = text.slice(-LONGEST);
  }
  return found;
};

const LONGEST = Math.max(...RULES.map(({name}) => name.length));
const PART = 64 * 1024;
const LIMIT = 64 * 1024 * 1024;
