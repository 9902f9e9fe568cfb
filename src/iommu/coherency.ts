import {isAtLeast, type KernelVersion} from '../host/kernel-release.js';
import type {Device} from './device.js';
import type {KernelCoherency} from './coherency-rule.js';
import type {KernelCode} from './kernel-code.js';
import {isPciBridge} from '../pci/class.js';
import {conjunction, evidence, weaker, type SnoopControl} from './snoop-control.js';
import type {Unit} from './unit.js';

/**
 * A group's verdict by the rule of the running kernel, that is what KVM would conclude if the group were added to
 * a VM now, and the two sets of members that it may rest on.
 */
export interface GroupSnoopControl extends SnoopControl {
  /** The members that are bound to VFIO now; null when none is, or when the kernel does not look at members. */
  boundMembers: SnoopControl | null;
  /** All members that VFIO could ever take. It decides while none is bound. */
  allMembers: SnoopControl;
}

/** What of a kernel decides about it. */
export type KernelRule = KernelCoherency & Partial<Pick<KernelCode, 'vendor'>>;

/** The verdict on a group with these members; `units` are all units of the machine. */
export const groupSnoopControl = (
  devices: readonly Device[],
  {coherencyRule: rule, coherencyRuleFrom, vendor}: KernelRule,
  units: readonly Unit[],
  version: KernelVersion | null,
): GroupSnoopControl => {
  const known = (verdict: SnoopControl): SnoopControl =>
    coherencyRuleFrom === 'family' ? byFamily(verdict, vendor ?? 'a vendor') : verdict;
  const allMembers = known(
    rule === 'devices' ? assignable(devices) : containerDomain(devices, rule, units, version),
  );
  const bound = devices.filter((device) => device.boundToVfio);
  const boundMembers = rule === 'devices' && bound.length > 0 ? known(all(bound)) : null;
  return boundMembers === null ? unbound(allMembers) : {...boundMembers, boundMembers, allMembers};
};

/** Most groups of a machine have the same verdict for the same reasons, which takes memory once. */
const once = <T extends object>(make: (verdict: SnoopControl) => T): ((verdict: SnoopControl) => T) => {
  const made = new WeakMap<SnoopControl, T>();
  return (verdict) => {
    const known = made.get(verdict) ?? make(verdict);
    made.set(verdict, known);
    return known;
  };
};

const unbound = once((allMembers): GroupSnoopControl => ({...allMembers, boundMembers: null, allMembers}));

/** What is only taken of a kernel, because of its family, makes no verdict exact. */
const byFamily = (verdict: SnoopControl, vendor: string): SnoopControl => {
  const known = BY_FAMILY.get(vendor);
  if (known !== undefined) return known(verdict);
  const judged = once(({verdict: word, confidence, evidence: facts}) => ({
    verdict: word,
    confidence: weaker(confidence, 'by-type'),
    evidence: [
      ...facts,
      evidence(`the rule of the kernel is taken from its release, which names the family of ${vendor}`, {
        file: '/proc/sys/kernel/osrelease',
      }),
    ],
  }));
  BY_FAMILY.set(vendor, judged);
  return judged(verdict);
};

const BY_FAMILY = new Map<string, (verdict: SnoopControl) => SnoopControl>();

/** VFIO never takes bridges, so they do not count, unless the group has nothing else. */
const assignable = (devices: readonly Device[]): SnoopControl => {
  const candidates = devices.filter((device) => !isPciBridge(device.classCode));
  return all(candidates.length > 0 ? candidates : devices);
};

/** The verdict on a container: before 6.2 all members are attached to the container's domain together, bound to VFIO or not. */
const containerDomain = (
  devices: readonly Device[],
  rule: 'container' | 'all-units',
  units: readonly Unit[],
  version: KernelVersion | null,
): SnoopControl => {
  if (devices.length > 0 && devices.every((device) => device.bus === 'mdev')) {
    return {
      verdict: 'enforced',
      confidence: 'by-type',
      evidence: [
        evidence(
          'a container with mediated devices alone has no domain, which kernels before 6.2 count as coherent',
        ),
      ],
    };
  }
  if (rule === 'container') return all(devices);
  const types = new Map(units.map((unit) => [unit.name, unit.type]));
  const isIntel = devices.some((device) => types.get(device.iommu ?? '') === 'intel-vt-d');
  return isIntel
    ? conjunction(
        units
          .filter((unit) => unit.type === 'intel-vt-d')
          .map((unit) =>
            version !== null && isAtLeast(version, 5, 13) ? inScalableMode(unit) : unit.snoopControl,
          ),
      )
    : all(devices);
};

/** From 5.13 to 5.18 a unit counts as enforcing while it runs in scalable mode, which sysfs does not show. */
const inScalableMode = ({name, registers, snoopControl}: Unit): SnoopControl =>
  snoopControl.verdict === 'not-enforced' && registers.some((register) => register.flags.includes('SMTS'))
    ? {
        verdict: 'unknown',
        confidence: 'none',
        evidence: [
          ...snoopControl.evidence,
          evidence('kernels 5.13 to 5.18 count a unit in scalable mode as enforcing, whatever bit 7 says', {
            unit: name,
          }),
        ],
      }
    : snoopControl;

const all = (devices: readonly Device[]): SnoopControl =>
  devices.length === 0
    ? {verdict: 'unknown', confidence: 'none', evidence: [evidence('the group has no devices')]}
    : conjunction(devices.map((device) => device.snoopControl));
