import {Attributes} from '../../host/attributes.js';
import {whyNoGroups, type NoGroups} from '../../iommu/no-groups.js';
import {isX86Name} from '../../iommu/kernel.js';
import {isMadeUp} from '../../iommu/made-up-group.js';
import type {Unit} from '../../iommu/unit.js';
import {howToAllowUnsafe, UNSAFE} from '../../vfio/eligibility/interrupts.js';
import type {HostCheck} from '../check.js';
import {fail, pass, unknown, type CheckFinding} from '../check.js';
import {logLines} from '../log-lines.js';
import type {Machine} from '../machine.js';

/** The IOMMU: there, on, remapping interrupts, able to control snooping. */
export const IOMMU_CHECKS: readonly HostCheck[] = [
  {
    id: 'iommu',
    title: 'an IOMMU is on',
    otherwise: 'an IOMMU is not on',
    matters: 'VFIO hands out devices by IOMMU group, and without groups there is nothing to hand out',
    neededFor: ['attach', 'passthrough'],
    look: (machine) => {
      const {host, distribution} = machine;
      const {units, groups} = host;
      const noGroups = host.noGroups ?? whyNoneIsReal(machine);
      if (noGroups === null) {
        const real = groups.filter((group) => !isMadeUp(group));
        return real.some(({devices}) => devices.some(({bus}) => bus === 'pci'))
          ? pass(`${count(real.length, 'group')} behind ${named(units)}`)
          : fail(
              `no PCI device is in a group (of ${real.length}, behind ${named(units)})`,
              'use a machine whose PCI devices are behind its IOMMU; what the firmware describes decides that (ACPI, device tree)',
            );
      }
      if (noGroups.cause === 'cannot-tell') return unknown(noGroups.message, noGroups.remedy);
      const [line] = noGroups.cause === 'not-started' ? logLines(machine, 'iommu') : [];
      const seen = line === undefined ? noGroups.message : `${noGroups.message}: its log says "${line}"`;
      return fail(seen, remedyOf(noGroups, host.kernel.parameters ?? [], distribution));
    },
  },
  {
    id: 'interrupt-remapping',
    title: 'interrupts of devices are isolated',
    otherwise: 'interrupts of devices are not isolated',
    matters:
      'VFIO refuses a group whose devices could raise interrupts of others (VFIO_SET_IOMMU answers EPERM)',
    neededFor: ['passthrough'],
    look: interruptRemapping,
  },
  {
    id: 'snoop-control',
    title: 'the IOMMU forces DMA to be coherent',
    otherwise: 'not all DMA is forced to be coherent',
    matters:
      'KVM executes WBINVD of a guest for real, and honours its memory types, when it gets a device of a unit without snoop control',
    neededFor: [],
    look: ({host: {units, kernel}}) => {
      // KVM asks on every architecture, and only that of x86 does anything with the answer
      if (kernel.architecture !== null && !isX86Name(kernel.architecture))
        return pass(`KVM does nothing with the answer on ${kernel.architecture}`);
      if (units.length === 0) return unknown('there is no unit to look at');
      const of = (verdict: string): Unit[] =>
        units.filter(({snoopControl}) => snoopControl.verdict === verdict);
      const [without, undecided] = [of('not-enforced'), of('unknown')];
      if (without.length > 0)
        return fail(
          `${named(without)} cannot${without.length === units.length ? '' : `, and ${named(of('enforced'))} can`}`,
          'put devices behind a unit that can; "kvfio groups --explain" says what it means for a VM',
        );
      return undecided.length > 0
        ? unknown(`kvfio cannot determine it for ${named(undecided)}`)
        : pass(`${named(units)} can`);
    },
  },
];

/** Groups that VFIO made up itself: for mediated devices, and for those that it has without any protection (noiommu). */
const whyNoneIsReal = ({host, tree}: Machine): NoGroups | null => {
  if (!host.groups.every(isMadeUp)) return null;
  const why = whyNoGroups(new Attributes(tree), host.kernel, host.units);
  return {...why, message: `VFIO made the groups up itself (noiommu, mdev): ${why.message}`};
};

const count = (many: number, what: string): string => `${many} ${what}${many === 1 ? '' : 's'}`;

const named = (units: readonly Unit[]): string =>
  units.length > 6 ? `${units.length} units` : units.map(({name}) => name).join(', ') || 'no unit';

const remedyOf = (
  {cause, remedy}: NoGroups,
  parameters: readonly string[],
  {addParameter, removeParameter, otherKernel}: Machine['distribution'],
): string => {
  switch (cause) {
    case 'off-by-default':
      return addParameter('intel_iommu=on');
    case 'off-on-command-line': {
      const off = parameters.find((parameter) => /^(?:(?:intel|amd)_)?iommu=(?:.*,)?off\b/.test(parameter));
      return off === undefined ? remedy : removeParameter(off);
    }
    case 'no-iommu-support':
      return otherKernel('CONFIG_IOMMU_SUPPORT');
    case 'no-driver':
    case 'xen':
    case 'no-hardware':
    case 'no-virtual-hardware':
    case 'not-started':
    case 'no-devices':
    case 'cannot-tell':
      return remedy;
  }
};

function interruptRemapping(machine: Machine): CheckFinding {
  const {host, distribution, examined} = machine;
  const {facts} = examined;
  const unsafe = ['vfio_iommu_type1', 'iommufd'].find((module) => facts.parameter(module, UNSAFE) === 'Y');
  if (unsafe !== undefined) return pass(`${UNSAFE} of ${unsafe} is Y, so that VFIO does without`);
  const {isolated, seen, off} = facts.interrupts;
  if (isolated === true) return pass(seen);
  if (host.units.length === 0) return unknown('without an IOMMU nothing remaps interrupts');
  const [refusal] = logLines(machine, 'interrupts-refused');
  if (isolated === null && refusal === undefined) return unknown(seen);
  const [line = refusal] = logLines(machine, 'interrupt-remapping');
  return fail(
    `nothing remaps interrupts: ${seen}${line === undefined ? '' : `, and the kernel log says "${line}"`}`,
    off !== null
      ? distribution.removeParameter(off)
      : `enable interrupt remapping (VT-d or IOMMU, x2APIC) in the firmware set-up, or at your risk set ${UNSAFE} of vfio_iommu_type1: ${howToAllowUnsafe('vfio_iommu_type1', facts.parameter('vfio_iommu_type1', UNSAFE))}`,
  );
}
