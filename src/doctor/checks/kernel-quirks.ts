import {closeReleases, refusedDeleteLooks} from '../../kvm-vfio/model/rules.js';
import type {HostCheck} from '../check.js';
import {fail, pass, unknown, type CheckFinding} from '../check.js';
import {LOCKDOWN, lockdownOf} from '../lockdown.js';
import type {Machine} from '../machine.js';
import {isAtLeast} from '../../host/kernel-release.js';
import {readAcpiTable} from '../../iommu/acpi-tables.js';
import {SyscallError} from '../../linux/errno.js';

/** What this kernel, as it was booted, does differently than one expects. None of it is needed for anything. */
export const KERNEL_QUIRKS: readonly HostCheck[] = [
  {
    id: 'trap-release-on-close',
    title: 'closing a kvm-vfio device lets its groups go',
    otherwise: 'closing a kvm-vfio device does not let its groups go',
    matters:
      'if it does not, a device that was closed keeps its groups and its place until the VM ends, and a new one is answered EBUSY',
    neededFor: [],
    look: ({version, host}) => {
      if (version === null) return unknown(NO_VERSION);
      const {release, stable, vendor} = host.kernel;
      const seen = `Linux ${release ?? ''}`;
      const releases = closeReleases(version, stable);
      if (releases === null) return unknown(`${seen}, which may be older than 6.1.9`);
      if (releases) return pass(stable === null ? seen : `Linux ${version.major}.${version.minor}.${stable}`);
      return vendor !== null
        ? unknown(`${seen}, and ${vendor} may have newer code of KVM`)
        : fail(seen, 'end the VM instead, or use Linux 6.1.9 or newer');
    },
  },
  {
    id: 'trap-coherency-rule',
    title: 'KVM asks devices, not containers, for coherency',
    otherwise: 'KVM asks more than the devices for coherency',
    matters:
      'before Linux 6.2 a group counts as coherent while it is in no container, and one group taints all of its container',
    neededFor: [],
    look: ({host: {kernel}, version}) => {
      if (version === null) return unknown(NO_VERSION);
      return kernel.coherencyRule === 'devices'
        ? pass(`Linux ${kernel.release ?? ''}`)
        : kernel.coherencyRuleFrom === 'family'
          ? unknown(
              `Linux ${kernel.release ?? ''}, whose version does not show it: ${kernel.vendor ?? ''} may have newer code`,
              'load vfio, which shows its functions',
            )
          : fail(
              `Linux ${kernel.release ?? ''} asks ${kernel.coherencyRule === 'container' ? 'the container' : 'all units of the host'}`,
              'attach groups when they are in their container (kvfio attach --container type1 does), or use Linux 6.2 or newer',
            );
    },
  },
  {
    id: 'trap-refused-delete',
    title: 'a DEL that is refused has KVM look at coherency again',
    otherwise: 'a DEL that is refused does not have KVM look at coherency again',
    matters: 'if it does not, only an ADD or DEL that succeeds takes notice of members that came or went',
    neededFor: [],
    look: ({version, host: {kernel}}) => {
      if (version === null) return unknown(NO_VERSION);
      const seen = `Linux ${kernel.release ?? ''}`;
      const looks = refusedDeleteLooks(version);
      if (looks === true) return pass(seen);
      return looks === false
        ? fail(seen, 'detach and attach a group when its members have changed')
        : unknown(`${seen}; it changed between Linux 6.19 and 7.2`);
    },
  },
  {
    id: 'trap-sibling',
    title: 'a driver that is given a member of a group in use is only refused',
    otherwise: 'a driver that is given a member of a group in use stops the kernel',
    matters:
      'before Linux 5.19 a driver of the host that takes another member of a group which a VM has, by hotplug or by hand, is a BUG() of the kernel (drivers/vfio/vfio.c, vfio_iommu_group_notifier()); since then the driver is answered EBUSY',
    neededFor: [],
    look: ({examined: {version, mayBeNewer}, host: {kernel}}) => {
      if (version === null) return unknown(NO_VERSION);
      const seen = `Linux ${kernel.release ?? ''}`;
      if (isAtLeast(version, 5, 19)) return pass(seen);
      return mayBeNewer
        ? unknown(`${seen}, and ${kernel.vendor ?? ''} may have newer code of VFIO`)
        : fail(
            seen,
            'give whole groups to VFIO ("kvfio bind --group" does), also members without a driver, or use Linux 5.19 or newer',
          );
    },
  },
  {
    id: 'trap-amd-page-tables',
    title: 'AMD-Vi can force coherency with its page tables',
    otherwise: 'AMD-Vi cannot force coherency with its page tables',
    matters:
      'with amd_iommu=pgtbl_v2, or where firmware rules version 1 out (HATDis), the driver claims so, but version 2 page tables have no such bit',
    neededFor: [],
    look: amdPageTables,
  },
  {
    id: 'trap-acs-override',
    title: 'groups are as isolated as they look',
    otherwise: 'groups are less isolated than they look',
    matters:
      'pcie_acs_override, of a patched kernel, makes groups of devices that can reach each other past the IOMMU',
    neededFor: [],
    look: ({host: {kernel}, distribution}) => {
      if (kernel.parameters === null) return unknown('/proc/cmdline cannot be read');
      const word = kernel.parameters.find((parameter) => parameter.startsWith('pcie_acs_override'));
      return word === undefined
        ? pass('ACS is not overridden')
        : fail(`booted with ${word}`, distribution.removeParameter(word));
    },
  },
  {
    id: 'trap-lockdown',
    title: 'the kernel is not locked down',
    otherwise: 'the kernel is locked down',
    matters:
      'lockdown, as under Secure Boot, refuses kernels and modules without a signature, setpci, and tables of the firmware that are replaced; VFIO and KVM do not ask it, up to Linux 7.3',
    neededFor: [],
    look: (machine) => {
      const mode = lockdownOf(machine);
      if (mode === null) return pass('this kernel shows no lockdown');
      return mode === 'none'
        ? pass(`${LOCKDOWN} says none`)
        : fail(
            `${LOCKDOWN} says ${mode}`,
            'do without what it refuses, or switch Secure Boot off in the firmware set-up',
          );
    },
  },
  {
    id: 'trap-graphics-unit',
    title: 'the graphics of an Intel processor has an IOMMU',
    otherwise: 'the graphics of an Intel processor has no IOMMU',
    matters:
      'with intel_iommu=igfx_off, and by a list of old chips, its unit is ignored: it is in no group and cannot be handed out',
    neededFor: [],
    look: graphicsUnit,
  },
];

/** The version of AMD page tables, by the units' verdicts: those that are not exact are of version 2. */
function amdPageTables({host, tree, version, distribution}: Machine): CheckFinding {
  const units = host.units.filter(({type}) => type === 'amd-vi');
  if (units.length === 0) return pass('there is no AMD-Vi unit');
  const {parameters} = host.kernel;
  if (parameters === null) return unknown('/proc/cmdline cannot be read');
  const word = parameters.find((parameter) => /^amd_iommu=(?:.*,)?pgtbl_v2\b/.test(parameter));
  if (word !== undefined)
    return fail(`booted with ${word}`, `${distribution.removeParameter(word)}, or do not rely on coherency`);
  if (units.some(({snoopControl}) => snoopControl.confidence === 'by-type'))
    return fail('firmware says HATDis (IVRS), so the kernel takes version 2', 'do not rely on coherency');
  const mayBeForced = version === null || isAtLeast(version, 6, 17);
  const table = mayBeForced ? readAcpiTable(tree, 'IVRS') : null;
  return table instanceof SyscallError
    ? unknown(`whether firmware says HATDis does not show: IVRS cannot be read (${table.code}; root may)`)
    : pass('page tables of version 1 are in use');
}

function graphicsUnit({host, distribution, config}: Machine): CheckFinding {
  const isIntel = host.units.some(({type}) => type === 'intel-vt-d');
  const left = host.ungrouped.find(
    ({classCode, vendorId, address}) =>
      vendorId === '8086' && classCode?.startsWith('03') === true && address.startsWith('0000:00:'),
  );
  if (!isIntel || left === undefined) return pass('no graphics device of Intel is left out');
  const seen = `${left.address} is in no group`;
  const words = (host.kernel.parameters ?? []).filter((parameter) => parameter.startsWith('intel_iommu='));
  const word = words.find((each) => valuesOf(each).includes('igfx_off'));
  if (word !== undefined) {
    // what stands beside it may be what switches the IOMMU on
    const rest = valuesOf(word).filter((each) => each !== 'igfx_off');
    const remedy =
      rest.length === 0
        ? distribution.replaceParameter(word, 'intel_iommu=on')
        : distribution.replaceParameter(word, `intel_iommu=${rest.join(',')}`);
    return fail(`${seen}, and the kernel was booted with ${word}`, remedy);
  }
  // the last of them counts (intel_iommu_setup())
  const last = words.flatMap(valuesOf).findLast((each) => each === 'on' || each === 'intgpu_off');
  const byDefault = config?.option(INTGPU_OFF) === 'y' && host.kernel.parameters !== null;
  if (last === 'intgpu_off' || (last === undefined && byDefault))
    return fail(
      `${seen}: this kernel leaves the integrated graphics out unless it is booted with intel_iommu=on (${last === undefined ? INTGPU_OFF : `booted with ${words.join(' ')}`}), by its source of translation only, and not of a group`,
      `${last === undefined ? distribution.addParameter('intel_iommu=on') : distribution.replaceParameter(words.at(-1) ?? '', 'intel_iommu=on')}, to rule that out; if it is in no group then, hand out another graphics device: its unit is ignored, or the firmware describes none (DMAR)`,
    );
  return fail(seen, 'hand out another graphics device');
}

const valuesOf = (parameter: string): string[] => parameter.slice(parameter.indexOf('=') + 1).split(',');

/**
 * The option with which Debian builds its kernels (drivers/iommu/intel/Kconfig, by a patch of Debian's). The integrated graphics then has an identity
 * domain by default (device_def_domain_type(), IDENTMAP_INTGPU), and is in a group all the same: VFIO may have it. With igfx_off its unit
 * is ignored (init_no_remapping_devices()), and there is no group.
 */
const INTGPU_OFF = 'CONFIG_INTEL_IOMMU_DEFAULT_ON_INTGPU_OFF';

const NO_VERSION = "the kernel's version cannot be read";
