import type {Attributes} from '../host/attributes.js';
import {readKernelConfig, type KernelConfig} from '../host/kernel-config.js';
import type {Kernel} from './kernel.js';
import type {Unit} from './unit.js';
import {readXenRole, type XenRole} from '../host/xen.js';

/** Why a machine has no IOMMU groups, found from the state of firmware, kernel and devices. */
export interface NoGroups {
  cause:
    | 'no-iommu-support'
    | 'no-hardware'
    | 'no-virtual-hardware'
    | 'off-on-command-line'
    | 'off-by-default'
    | 'xen'
    | 'no-driver'
    | 'not-started'
    | 'no-devices'
    | 'cannot-tell';
  /** One sentence for people, without a full stop. */
  message: string;
  /** What to do about it, one sentence without a full stop. */
  remedy: string;
  /** What was seen, one fact each. */
  seen: string[];
}

/** Firmware tables that announce an IOMMU, and what the kernel needs to use it. */
interface Announcement {
  table: string;
  hardware: string;
  option: string;
  /** Folder that exists while the driver is in the kernel; null where nothing shows it. */
  driver: string | null;
  /** Kernel parameters that switch it off; null where there is none. */
  off: RegExp | null;
  /** Where the driver may wait to be asked: the options that start it unasked, and the parameters that ask. */
  onRequest: {unless: readonly string[]; asked: RegExp; remedy: string} | null;
}

const ANNOUNCEMENTS: readonly Announcement[] = [
  {
    table: 'DMAR',
    hardware: 'Intel VT-d',
    option: 'CONFIG_INTEL_IOMMU',
    driver: null,
    off: /^(?:intel_iommu=(?:.*,)?off\b|iommu=(?:.*,)?off\b)/,
    onRequest: {
      unless: ['CONFIG_INTEL_IOMMU_DEFAULT_ON', 'CONFIG_INTEL_IOMMU_DEFAULT_ON_INTGPU_OFF'],
      asked: /^intel_iommu=(?:.*,)?on\b/,
      remedy: 'boot with intel_iommu=on on the kernel command line',
    },
  },
  {
    table: 'IVRS',
    hardware: 'AMD-Vi',
    option: 'CONFIG_AMD_IOMMU',
    driver: null,
    off: /^(?:amd_iommu=(?:.*,)?off\b|iommu=(?:.*,)?off\b)/,
    onRequest: null,
  },
  {
    table: 'VIOT',
    hardware: 'virtio-iommu',
    option: 'CONFIG_VIRTIO_IOMMU',
    driver: '/sys/bus/virtio/drivers/virtio_iommu',
    off: null,
    onRequest: null,
  },
];

const TABLES = '/sys/firmware/acpi/tables';

/** Finds the reason for having no groups, from the first cause that explains it. */
export const whyNoGroups = (attributes: Attributes, kernel: Kernel, units: readonly Unit[]): NoGroups => {
  const groupsFolder = attributes.names('/sys/kernel/iommu_groups') !== null;
  const classFolder = attributes.names('/sys/class/iommu') !== null;
  const tables = attributes.names(TABLES);
  // packed in many kernels, and to unpack it takes longer than all else that is read here
  const config = (): KernelConfig | null => readKernelConfig(attributes, kernel.release);
  const announced = ANNOUNCEMENTS.filter(({table}) => tables?.includes(table) ?? false);
  const seen = [
    tables === null
      ? `${TABLES} cannot be seen`
      : `firmware tables: ${announced.map(({table}) => table).join(', ') || 'neither DMAR, IVRS nor VIOT'}`,
    `IOMMU units: ${units.map((unit) => unit.name).join(', ') || 'none'}`,
    ...(kernel.parameters === null
      ? []
      : [`kernel parameters: ${kernel.parameters.join(' ') || 'none about IOMMU'}`]),
  ];

  if (!groupsFolder && !classFolder) {
    return {
      cause: 'no-iommu-support',
      message:
        'this kernel was built without IOMMU support (there is neither /sys/class/iommu nor /sys/kernel/iommu_groups)',
      remedy: 'use a kernel with CONFIG_IOMMU_SUPPORT',
      seen,
    };
  }
  if (units.length > 0) {
    return {
      cause: 'no-devices',
      message: `${units.map((unit) => unit.name).join(', ')} started, but no device is behind ${units.length === 1 ? 'it' : 'them'}`,
      remedy: 'look for iommu lines in the kernel log',
      seen,
    };
  }
  const xen = readXenRole(attributes.tree);
  // a guest's own IOMMU would be announced as on any other hypervisor
  if (xen === 'dom0' || (xen !== null && announced.length === 0)) return underXen(xen, seen);
  const [announcement] = announced;
  return announcement === undefined
    ? nothingAnnounced(attributes, config, tables !== null, seen)
    : notStarted(attributes, announcement, kernel, config(), seen);
};

/** Xen keeps the IOMMU to itself, and hands devices out with its own tools. */
const underXen = (role: XenRole, seen: string[]): NoGroups => ({
  cause: 'xen',
  message:
    role === 'guest'
      ? 'this is a guest of Xen, which gives it no IOMMU'
      : `Xen has the IOMMU, and this is ${role === 'dom0' ? 'its dom0' : 'one of its domains'}, where VFIO has nothing to hand out`,
  remedy:
    role === 'guest'
      ? 'have the dom0 of Xen hand devices to this guest, or try "kvfio lab"'
      : 'use "xl pci-assignable-add" and the pci option of xl.cfg in dom0, or boot the entry without Xen',
  seen: [...seen, '/sys/hypervisor/type: xen'],
});

/** Firmware names an IOMMU, and still no unit is there: off, or no driver. */
const notStarted = (
  attributes: Attributes,
  {table, hardware, option, driver, off, onRequest}: Announcement,
  {parameters}: Kernel,
  config: KernelConfig | null,
  seen: string[],
): NoGroups => {
  const has = `firmware announces ${hardware} (table ${table})`;
  const built = config?.option(option);
  const facts = built === undefined ? seen : [...seen, `${option}=${built} in ${config?.path ?? ''}`];
  const switchedOff = parameters?.find(
    (parameter) =>
      off?.test(parameter) &&
      // of one switch that is given twice the kernel takes the last
      parameters.findLast((other) => isSameSwitch(other, parameter)) === parameter,
  );
  if (switchedOff !== undefined) {
    return {
      cause: 'off-on-command-line',
      message: `${has}, but the kernel command line says ${switchedOff}`,
      remedy: `remove ${switchedOff} from the kernel command line and reboot`,
      seen: facts,
    };
  }
  if (built === 'n') {
    return {
      cause: 'no-driver',
      message: `${has}, but this kernel was built without its driver (${option})`,
      remedy: `use a kernel with ${option}`,
      seen: facts,
    };
  }
  if (driver !== null && attributes.names(driver) === null) {
    return {
      cause: 'no-driver',
      message: `${has}, but its driver is not in the running kernel, neither built in nor loaded`,
      remedy: `load ${driver.slice(driver.lastIndexOf('/') + 1)}, or use a kernel with ${option}`,
      seen: [...facts, `${driver} does not exist`],
    };
  }
  if (
    onRequest !== null &&
    config !== null &&
    onRequest.unless.every((option) => config.option(option) === 'n') &&
    !parameters?.some((parameter) => onRequest.asked.test(parameter))
  ) {
    return {
      cause: 'off-by-default',
      message: `${has}, but this kernel leaves it off unless it is asked for (${onRequest.unless[0] ?? ''} is not set)`,
      remedy: onRequest.remedy,
      seen: facts,
    };
  }
  return {
    cause: 'not-started',
    message: `${has}, but the kernel started no IOMMU unit`,
    remedy: 'look for DMAR, AMD-Vi or iommu lines in the kernel log',
    seen: facts,
  };
};

/** Both set what the IOMMU's own parameter has for on and off, such as `intel_iommu=off` and `intel_iommu=on`. */
const isSameSwitch = (one: string, other: string): boolean =>
  [one, other].every((parameter) => /=(?:.*,)?(?:on|off)\b/.test(parameter)) &&
  one.split('=')[0] === other.split('=')[0];

const nothingAnnounced = (
  attributes: Attributes,
  config: () => KernelConfig | null,
  tablesSeen: boolean,
  seen: string[],
): NoGroups => {
  const virtio = virtioIommu(attributes);
  if (virtio !== null) {
    const built = config()?.option('CONFIG_VIRTIO_IOMMU');
    return {
      cause: 'no-driver',
      message: `the virtio-iommu device ${virtio} is there, but ${built === 'n' ? 'this kernel was built without its driver' : 'no driver is bound to it'} (CONFIG_VIRTIO_IOMMU)`,
      remedy: 'use a kernel with CONFIG_VIRTIO_IOMMU',
      seen: [...seen, `virtio-iommu device: ${virtio}`],
    };
  }
  const smmu = armSmmu(attributes);
  if (smmu !== null) {
    return {
      cause: 'no-driver',
      message: `firmware describes the SMMU ${smmu}, but no driver runs it`,
      remedy: 'use a kernel with CONFIG_ARM_SMMU and CONFIG_ARM_SMMU_V3, and look for arm-smmu in its log',
      seen: [...seen, `platform device: ${smmu}`],
    };
  }
  if (!tablesSeen) {
    return {
      cause: 'cannot-tell',
      message: 'no IOMMU unit runs, and the firmware tables that would announce one cannot be seen from here',
      remedy: 'look for iommu lines in the kernel log; in a container, run kvfio on the host',
      seen,
    };
  }
  if (hasHypervisorFlag(attributes)) {
    return {
      cause: 'no-virtual-hardware',
      message: 'this is a virtual machine, and its hypervisor gives it no IOMMU',
      remedy: 'give the virtual machine a virtual IOMMU, or try "kvfio lab"',
      seen: [...seen, 'the CPU reports a hypervisor'],
    };
  }
  return {
    cause: 'no-hardware',
    message:
      'firmware announces no IOMMU: it is switched off in the firmware set-up (VT-d, AMD-Vi, IOMMU), or the machine has none',
    remedy: 'enable it in the firmware set-up, or try "kvfio lab"',
    seen,
  };
};

/** PCI device 1057 of vendor 1af4 (virtio specification, 5.13), when no driver runs it. */
const virtioIommu = (attributes: Attributes): string | null =>
  (attributes.names('/sys/bus/pci/devices') ?? []).find(
    (name) =>
      attributes.text(`/sys/bus/pci/devices/${name}/vendor`) === '0x1af4' &&
      attributes.text(`/sys/bus/pci/devices/${name}/device`) === '0x1057',
  ) ?? null;

/**
 * A platform device made for an SMMU of the IORT table or the device tree. The table alone says nothing: it
 * describes interrupt controllers and root complexes, too (drivers/acpi/arm64/iort.c).
 */
const armSmmu = (attributes: Attributes): string | null =>
  (attributes.names('/sys/bus/platform/devices') ?? []).find((name) => /^arm-smmu(?:-v3)?\./.test(name)) ??
  null;

/** The first processor's flags stand in the first kilobytes; the whole file grows with the number of processors. */
const hasHypervisorFlag = (attributes: Attributes): boolean => {
  const head = attributes.tree.inspect('/proc/cpuinfo', (at) => at(0, 8192).toString('latin1'));
  return typeof head === 'string' && /^flags\s*:.*\bhypervisor\b/m.test(head);
};
