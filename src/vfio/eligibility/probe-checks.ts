import {listed} from '../../words.js';
import type {Device} from '../../iommu/device.js';
import {isPciBridge} from '../../pci/class.js';
import type {Group} from '../../iommu/group.js';
import {isMadeUp} from '../../iommu/made-up-group.js';
import {
  applies,
  byVersion,
  type KernelCheck,
  type CheckId,
  type DeviceCheck,
  type Examined,
  type Found,
} from './check.js';
import type {Loaded} from './host-facts.js';

/** A device that a VFIO driver has is past all of this. */
const unlessBound =
  (look: DeviceCheck['look']): DeviceCheck['look'] =>
  (device, group, host) =>
    device.boundToVfio ? null : look(device, group, host);

/** QAT of the first generations with their virtual functions, on the denylist since it is there. */
const QAT = new Set(['8086:19e2', '8086:19e3', '8086:37c8', '8086:37c9', '8086:0435', '8086:0443']);

/** DSA and IAX of Sapphire Rapids, on it since 6.10 (95feb3160eef), which stable kernels have taken over. */
const DSA_AND_IAX = new Set(['8086:0b25', '8086:0cfe']);

const DENYLIST_SOURCE = 'drivers/vfio/pci/vfio_pci.c, vfio_pci_is_denylisted()';

/** The parameter can only be set while the module is loaded (0444 in drivers/vfio/pci/vfio_pci.c). */
const howToLoad = (isThere: boolean, {isBuiltIn, isInUse, devices}: Loaded): string => {
  const load = 'modprobe vfio-pci disable_denylist=1';
  if (!isThere) return `"${load}"`;
  if (isBuiltIn)
    return 'it is part of this kernel: boot with vfio-pci.disable_denylist=1 on the kernel command line';
  const anew = `"modprobe -r vfio-pci && ${load}"`;
  if (isInUse) return `${anew} when no VM has a device of it any more, ${listed(devices)} now`;
  return devices.length === 0
    ? anew
    : `${anew} after "kvfio unbind" has taken from it what it has, ${listed(devices)}`;
};

/** @param sure whether every kernel of the row has `ids` on its list */
const denylisted = (ids: ReadonlySet<string>, sure: boolean): DeviceCheck['look'] =>
  unlessBound(({address, vendorId, deviceId}, _group, {facts}) => {
    const id = `${vendorId ?? ''}:${deviceId ?? ''}`;
    if (!ids.has(id)) return null;
    const parameter = facts.parameter('vfio_pci', 'disable_denylist');
    if (parameter === 'Y') return null;
    return {
      device: address,
      // a module that is not loaded may get the parameter from modprobe.d
      certain: parameter === 'N' && sure,
      found: `{} {is|are} ${id}, which is on vfio-pci's denylist for known errata${sure ? '' : ' from Linux 6.10 on, and in some stable kernels before it'}${parameter === null ? ', unless modprobe.d says disable_denylist=1' : ''}`,
      cure: `load it with disable_denylist=1 (${howToLoad(parameter !== null, facts.vfioPci)}), at the risk that a guest makes the device hang the host`,
    };
  });

/**
 * Checks before a VFIO driver has a device: whether its present driver gives it to VMs itself, and then what vfio-pci looks at when
 * the kernel binds a device to it, in its order (vfio_pci_probe(), vfio_pci_core_register_device() and what that calls). The
 * last of them holds for every VFIO driver. To probe is the kernel's word for this; `kvfio probe` measures WBINVD.
 */
export const DRIVER_PROBE_CHECKS: readonly DeviceCheck[] = [
  {
    id: 'vgpu',
    subject: 'device',
    call: 'use',
    errno: null,
    source: 'the vendor driver, current_vgpu_type',
    look: unlessBound((device, _group, {facts}) => {
      const vgpu = vgpuOf(facts, device);
      return vgpu === null
        ? null
        : {
            device: device.address,
            certain: true,
            found: `{} {carries|carry} the vGPU type ${vgpu.type} of its driver, ${vgpu.driver}: VMs get it through that driver, and vfio-pci would take it from there`,
            cure: `leave it to ${vgpu.driver}, or write 0 to ${vgpu.file} first`,
          };
    }),
  },
  {
    id: 'denylist',
    subject: 'device',
    since: [5, 9],
    call: 'probe',
    errno: 'EINVAL',
    source: DENYLIST_SOURCE,
    look: denylisted(QAT, true),
  },
  {
    id: 'denylist',
    subject: 'device',
    since: [6, 10],
    call: 'probe',
    errno: 'EINVAL',
    source: DENYLIST_SOURCE,
    look: denylisted(DSA_AND_IAX, true),
  },
  {
    id: 'denylist',
    subject: 'device',
    since: [5, 9],
    before: [6, 10],
    call: 'probe',
    errno: 'EINVAL',
    source: DENYLIST_SOURCE,
    look: denylisted(DSA_AND_IAX, false),
  },
  ...byVersion(
    {
      id: 'header-type',
      subject: 'device',
      look: unlessBound(({address, classCode}) =>
        isPciBridge(classCode)
          ? {
              device: address,
              certain: true,
              found:
                '{} {is a PCI bridge|are PCI bridges}, and vfio-pci drives ordinary functions only (header type 0)',
              cure: null,
            }
          : null,
      ),
    },
    [
      {
        since: [5, 15],
        call: 'probe',
        errno: 'EINVAL',
        source: 'drivers/vfio/pci/vfio_pci_core.c, vfio_pci_core_register_device()',
      },
      {
        before: [5, 15],
        call: 'probe',
        errno: 'EINVAL',
        source: 'drivers/vfio/pci/vfio_pci.c, vfio_pci_probe()',
      },
    ],
  ),
  ...byVersion(
    {
      id: 'virtual-functions',
      subject: 'device',
      look: unlessBound(({address, path, classCode}, _group, {facts}) => {
        if (isPciBridge(classCode)) return null;
        const count = Number(facts.of(path, 'sriov_numvfs') ?? 0);
        return count > 0
          ? {
              device: address,
              certain: true,
              found: `{} {has|have} ${count} virtual ${count === 1 ? 'function' : 'functions'}`,
              cure: `hand these out, or take them away: "echo 0 > ${path}/sriov_numvfs"`,
            }
          : null;
      }),
    },
    [
      {
        since: [5, 15],
        call: 'probe',
        errno: 'EBUSY',
        source: 'drivers/vfio/pci/vfio_pci_core.c, vfio_pci_core_register_device()',
      },
      {
        before: [5, 15],
        call: 'probe',
        errno: 'EBUSY',
        source: 'drivers/vfio/pci/vfio_pci.c, vfio_pci_probe()',
      },
    ],
  ),
  ...byVersion(
    {
      id: 'group',
      subject: 'device',
      look: ({address, bus}, group, {facts}) =>
        group !== null || bus === 'mdev' || allowsNoIommu(facts)
          ? null
          : {
              device: address,
              certain: true,
              found: '{} {is|are} in no IOMMU group',
              cure: `have the kernel put it into one: "kvfio groups --device ${address} --explain" says what keeps it out`,
            },
    },
    [
      {
        since: [5, 16],
        call: 'probe',
        errno: 'EINVAL',
        source: 'vfio_group_find_or_alloc()',
      },
      {before: [5, 16], call: 'probe', errno: 'EINVAL', source: 'vfio_iommu_group_get()'},
    ],
  ),
  ...byVersion(
    {
      id: 'cache-coherency',
      subject: 'device',
      look: unlessBound(({address, iommu, bus}, group, {units}) => {
        // what VFIO makes up for itself is not asked for it
        if (group === null || isMadeUp(group) || bus === 'mdev') return null;
        const unit = iommu === null ? undefined : units.get(iommu);
        if (unit === undefined)
          return {
            device: address,
            certain: false,
            found:
              'kvfio cannot see which IOMMU is behind {}, nor whether it has cache coherent DMA, without which VFIO takes no device',
            cure: null,
          };
        if (unit.cacheCoherency === true) return null;
        return unit.cacheCoherency === false
          ? {
              device: address,
              certain: true,
              found: `the driver of ${unit.name} does not claim cache coherent DMA, without which VFIO takes no device of it`,
              cure: null,
            }
          : {
              device: address,
              certain: false,
              found: `kvfio cannot see whether ${unit.name} has cache coherent DMA, without which VFIO takes no device of it`,
              cure: null,
            };
      }),
    },
    [
      {
        since: [6, 6],
        call: 'probe',
        errno: 'EINVAL',
        source: 'drivers/vfio/vfio_main.c, __vfio_register_dev(), of IOMMU_CAP_CACHE_COHERENCY',
      },
      {
        since: [5, 19],
        before: [6, 6],
        call: 'probe',
        errno: 'EINVAL',
        source: 'vfio_group_find_or_alloc(), of IOMMU_CAP_CACHE_COHERENCY',
      },
    ],
  ),
];

/** Whether VFIO takes a device that is in no group, and makes a group up for it. */
export const allowsNoIommu = (facts: Examined['facts']): boolean =>
  facts.parameter('vfio', 'enable_unsafe_noiommu_mode') === 'Y';

/**
 * The vGPU that a virtual function is, by the framework of vendors that gives such to VMs without mdev: the type that was chosen, in a
 * folder with the name of the driver. Null where none was, or another driver has the device.
 */
export const vgpuOf = (
  facts: Pick<Examined['facts'], 'of'>,
  {path, driver}: Pick<Device, 'path' | 'driver'>,
): {driver: string; type: string; file: string} | null => {
  if (driver === null || !VGPU_DRIVERS.has(driver)) return null;
  const file = `${driver}/current_vgpu_type`;
  const type = facts.of(path, file);
  return type === null || type === '0' ? null : {driver, type, file: `${path}/${file}`};
};

/**
 * Linux's own xe shows no type, up to 7.3: it has sriov_admin/vfN/profile of the physical function, with shares of time and memory
 * (drivers/gpu/drm/xe/xe_sriov_pf_sysfs.c), and xe-vfio-pci for what VMs get. Only another build of it can have the file.
 */
const VGPU_DRIVERS = new Set(['nvidia', 'xe']);

/** What keeps vfio-pci from a device for certain, `except` for some checks; null when it may take it. */
export const probeRefusal = (
  device: Device,
  group: Group | null,
  host: Examined,
  except: readonly CheckId[] = [],
): (KernelCheck & Found) | null => {
  for (const check of DRIVER_PROBE_CHECKS) {
    if (except.includes(check.id)) continue;
    const found = applies(check, host) ? check.look(device, group, host) : null;
    if (found?.certain === true) return {...check, ...found};
  }
  return null;
};

/** What one check says of a device; null when nothing stands in the way. */
export const probeAnswer = (
  device: Device,
  group: Group | null,
  host: Examined,
  id: CheckId,
): (KernelCheck & Found) | null => {
  const check = DRIVER_PROBE_CHECKS.find((each) => each.id === id && applies(each, host));
  const found = check?.look(device, group, host) ?? null;
  return check === undefined || found === null ? null : {...check, ...found};
};
