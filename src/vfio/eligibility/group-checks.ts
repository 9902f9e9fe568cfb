import type {Device} from '../../iommu/device.js';
import type {Group} from '../../iommu/group.js';
import {isNoIommu} from '../../iommu/made-up-group.js';
import {isAtLeast} from '../../host/kernel-release.js';
import {isPciBridge} from '../../pci/class.js';
import {isTaken} from './after-binding.js';
import {byVersion, type DeviceCheck, type Examined, type Found, type GroupCheck} from './check.js';
import {parentInGroup} from './driver-domain.js';
import {howToAllowUnsafe, UNSAFE} from './interrupts.js';
import {allowsNoIommu} from './probe-checks.js';

/** How the kernel refuses a group that drivers of the host have a part of. */
const OTHER_OWNERS = [
  {
    since: [5, 19],
    call: 'VFIO_GROUP_SET_CONTAINER',
    errno: 'EPERM',
    source: 'drivers/iommu/iommu.c, iommu_group_claim_dma_owner()',
    byCdev: {
      call: 'VFIO_DEVICE_BIND_IOMMUFD',
      source: 'drivers/iommu/iommu.c, iommu_device_claim_dma_owner()',
    },
  },
  {
    before: [5, 19],
    call: 'VFIO_GROUP_GET_DEVICE_FD',
    errno: 'EINVAL',
    source: 'drivers/vfio/vfio.c, vfio_dev_viable()',
  },
] as const;

/** What is looked at from the open() of a group to the last call before a VM has its devices, in the kernel's order. */
export const GROUP_ELIGIBILITY_CHECKS: readonly (DeviceCheck | GroupCheck)[] = [
  ...byVersion(
    {
      id: 'physical-function',
      subject: 'device',
      look: ({address, path}, group, {facts}) => {
        // one that shares no group is what SR-IOV is for
        if (group === null || !group.blockers.some((blocker) => blocker.address !== address)) return null;
        const physical = facts.physicalFunction(path);
        const owner = group.devices.find((device) => device.path === physical);
        const blocker = group.blockers.find((each) => each.address === owner?.address);
        return owner === undefined || blocker === undefined
          ? null
          : {
              device: address,
              certain: true,
              found: `{} {is a virtual function|are virtual functions} of ${owner.address}, which has to keep its driver (${blocker.driver}) for {it|them} to exist, and {both|all} are in one group: the group cannot be assigned`,
              cure: `use a slot below ports with ACS, where each function has a group of its own, or hand out ${owner.address} itself without virtual functions`,
            };
      },
    },
    OTHER_OWNERS,
  ),
  ...byVersion(
    {
      id: 'driver-domain',
      subject: 'device',
      look: (device, group) => {
        const parent = group === null ? undefined : parentInGroup(device, group);
        return parent === undefined
          ? null
          : {
              device: device.address,
              certain: true,
              found: `{} {is|are} behind ${parent.address}, whose driver (${parent.driver ?? 'none'}) has made {it|them} and takes {it|them} along when it lets go, and {both|all} are in one group`,
              cure: `hand out ${parent.address} with all that is behind it${parent.driver === 'vmd' ? ', or have the firmware show the devices by themselves (switch VMD off)' : ''}`,
            };
      },
    },
    OTHER_OWNERS,
  ),
  {
    id: 'bound',
    subject: 'device',
    call: 'open',
    errno: 'ENOENT',
    source: 'vfio_create_group()',
    look: ({address, boundToVfio, bus}, group) =>
      boundToVfio
        ? null
        : {
            device: address,
            certain: true,
            found: 'no VFIO driver has {}',
            cure:
              bus === 'pci'
                ? `run "kvfio bind ${group === null ? `--device ${address}` : `--group ${group.id}`}"`
                : `bind it to the VFIO driver of the bus ${bus ?? ''}`,
            cureIsBind: bus === 'pci',
          },
  },
  {
    id: 'noiommu',
    subject: 'device',
    call: 'VFIO_SET_IOMMU',
    errno: 'ENODEV',
    source: 'vfio_ioctl_set_iommu()',
    byCdev: {call: 'use', errno: null, source: 'drivers/vfio/device_cdev.c, of noiommu-vfioN'},
    look: ({address, bus}, group, {facts}) => {
      const has = group !== null && isNoIommu(group);
      const gets = group === null && bus !== 'mdev' && allowsNoIommu(facts);
      return has || gets
        ? {
            device: address,
            certain: true,
            found: `${has ? 'the group of {} is one of VFIO without an IOMMU (noiommu)' : '{} {is|are} in no IOMMU group, and VFIO would make one up without an IOMMU (noiommu)'}: nothing confines the DMA of the device, using it taints the kernel, and type 1 containers do not take it, so a VM cannot use it`,
            cure: 'put the device behind an IOMMU; "kvfio doctor --for passthrough" says what keeps it from being on',
          }
        : null;
    },
  },
  ...byVersion({id: 'drivers', subject: 'group', look: boundToOthers}, OTHER_OWNERS),
  {
    id: 'direct-region',
    subject: 'group',
    since: [6, 6],
    call: 'VFIO_GROUP_SET_CONTAINER',
    errno: 'EINVAL',
    source: 'drivers/iommu/iommu.c, __iommu_device_set_domain()',
    byCdev: {call: 'VFIO_DEVICE_BIND_IOMMUFD'},
    look: (group) => directRegions(group),
  },
  // the drivers beside Intel's did not look before 6.6
  ...byVersion(
    {
      id: 'direct-region',
      subject: 'group',
      look: (group, {units}) =>
        group.devices.some(({iommu}) => units.get(iommu ?? '')?.type === 'intel-vt-d')
          ? directRegions(group)
          : [],
    },
    [
      // with a blocking domain, which Intel's driver has since 6.2, a container may be set
      {
        since: [6, 2],
        before: [6, 6],
        call: 'VFIO_SET_IOMMU',
        errno: 'EPERM',
        source: 'drivers/iommu/intel/iommu.c, intel_iommu_attach_device()',
      },
      {
        since: [5, 19],
        before: [6, 2],
        call: 'VFIO_GROUP_SET_CONTAINER',
        errno: 'EPERM',
        source: 'iommu_group_claim_dma_owner(), by intel_iommu_attach_device()',
      },
      {
        before: [5, 19],
        call: 'VFIO_SET_IOMMU',
        errno: 'EPERM',
        source: 'drivers/iommu/intel/iommu.c, intel_iommu_attach_device()',
      },
    ],
  ),
  {
    id: 'interrupts',
    subject: 'group',
    call: 'VFIO_SET_IOMMU',
    errno: 'EPERM',
    source: 'drivers/vfio/vfio_iommu_type1.c, vfio_iommu_type1_attach_group()',
    byCdev: {
      call: 'VFIO_DEVICE_BIND_IOMMUFD',
      source: 'drivers/iommu/iommufd/device.c, iommufd_device_bind()',
    },
    look: interruptsOfOthers,
  },
  {
    id: 'vf-token',
    subject: 'device',
    since: [5, 7],
    call: 'VFIO_GROUP_GET_DEVICE_FD',
    errno: 'EACCES',
    source: 'vfio_pci_validate_vf_token()',
    byCdev: {call: 'VFIO_DEVICE_BIND_IOMMUFD', source: 'vfio_pci_core_match_token_uuid()'},
    look: ({address, path, boundToVfio}, _group, {facts}) => {
      const physical = boundToVfio ? facts.physicalFunction(path) : null;
      return physical !== null && facts.isVfios(physical)
        ? {
            device: address,
            // some VMMs know it and others do not
            certain: false,
            found: `{} {is a virtual function|are virtual functions} of ${nameOf(physical)}, which VFIO has too: who uses it has to show the VF token that the user of ${nameOf(physical)} has set`,
            cure: "give the VMM the token, such as vf-token=UUID of QEMU's vfio-pci",
          }
        : null;
    },
  },
  {
    id: 'runtime-pm',
    subject: 'device',
    since: [5, 19],
    call: 'VFIO_GROUP_GET_DEVICE_FD',
    errno: 'EINVAL',
    source: 'vfio_pci_core_enable(), by rpm_resume() in drivers/base/power/runtime.c',
    byCdev: {call: 'VFIO_DEVICE_BIND_IOMMUFD'},
    look: ({address, path, boundToVfio}, _group, {facts}) =>
      boundToVfio && facts.of(path, 'power/runtime_status') === 'error'
        ? {
            device: address,
            certain: true,
            found:
              '{} cannot leave the low-power state that VFIO has put {it|them} into (power/runtime_status says error)',
            cure: 'switch the machine off and on, and keep the device out of D3 with vfio-pci.disable_idle_d3=1',
          }
        : null,
  },
  ...byVersion(
    {
      id: 'framebuffer',
      subject: 'device',
      look: ({address, classCode}, _group, {facts, version}) => {
        const held = facts.framebuffers.find(({device}) => device === address);
        // vfio-pci has framebuffers of a VGA function removed when it is bound to it (vfio_pci_vga_init(), since 6.0)
        const removes =
          classCode?.startsWith('0300') === true && (version === null || isAtLeast(version, 6, 0));
        return held === undefined || removes
          ? null
          : {
              device: address,
              certain: true,
              found: `the framebuffer of the firmware (${held.name} in /proc/iomem) holds memory of {}, which a VM then cannot map`,
              cure: 'boot with initcall_blacklist=sysfb_init, which leaves the machine without a console until a display driver loads',
            };
      },
    },
    [
      {
        since: [5, 15],
        call: 'mmap',
        errno: 'EBUSY',
        source: 'drivers/vfio/pci/vfio_pci_core.c, vfio_pci_core_mmap()',
      },
      {before: [5, 15], call: 'mmap', errno: 'EBUSY', source: 'drivers/vfio/pci/vfio_pci.c, vfio_pci_mmap()'},
    ],
  ),
  {
    id: 'tsm',
    subject: 'device',
    call: 'use',
    errno: null,
    source: 'drivers/pci/tsm.c, of tsm/bound',
    // what locks a device for a VM is VFIO's own user
    look: ({address, path, boundToVfio}, _group, {facts}) => {
      const tsm = boundToVfio ? (facts.of(path, 'tsm/bound') ?? '') : '';
      return tsm === ''
        ? null
        : {
            device: address,
            certain: true,
            found: `{} {is|are} locked by the security manager ${tsm} for the confidential VM that has {it|them} (tsm/bound)`,
            cure: 'end that VM',
          };
    },
  },
  {
    id: 'answers',
    subject: 'device',
    call: 'use',
    errno: null,
    source: 'QEMU, hw/vfio/pci.c: "Unknown PCI header type"',
    // what nobody has is not woken for it
    look: ({address, path, boundToVfio, silent}, _group, {facts}) =>
      (silent ?? (boundToVfio && facts.isSilent(path)))
        ? {
            device: address,
            certain: true,
            found:
              '{} {answers|answer} with all ones: {it is|they are} powered down and {does|do} not wake, or {has|have} failed',
            cure: 'switch the machine off and on; if that helps for a while, keep the device out of D3 with vfio-pci.disable_idle_d3=1',
          }
        : null,
  },
];

function boundToOthers(group: Group): Found[] {
  return group.blockers.map(({address, driver}) => {
    const found = {device: address, certain: true, found: `{} {is|are} bound to ${driver}`};
    const device = group.devices.find((each) => each.address === address);
    return device === undefined || isTaken(device, group) || parentInGroup(device, group) !== undefined
      ? {
          ...found,
          cure: `run "kvfio bind --group ${group.id}", or unbind what the host does not need`,
          cureIsBind: true,
        }
      : {...found, cure: unbindByHand(device, driver)};
  });
}

/** How to unbind by hand what kvfio does not give to vfio-pci: VFIO accepts it without a driver. */
const unbindByHand = ({address, bus, classCode}: Device, driver: string): string | null =>
  bus === null
    ? null
    : `take ${driver} from ${address} ("echo ${address} > /sys/bus/${bus}/drivers/${driver}/unbind")${isPciBridge(classCode) ? ': the bridge works on without it' : ', if the host can do without that device'}`;

const directRegions = (group: Group): Found[] => {
  const regions = (group.reservedRegions ?? []).filter(({kind}) => kind === 'direct');
  return regions.length === 0
    ? []
    : [
        {
          device: null,
          certain: true,
          found: `firmware wants ${regions.map(({start, end}) => `${start}-${end}`).join(', ')} mapped one to one for a device of the group at all times (reserved region "direct": RMRR of VT-d, IVMD of AMD-Vi)`,
          cure: 'have the firmware leave that region out, as by an option or an update of the vendor, or use another device; no parameter of an unpatched kernel lifts it',
        },
      ];
};

function interruptsOfOthers(group: Group, {facts, units, by}: Examined): Found[] {
  const served = group.devices.flatMap(({iommu}) => units.get(iommu ?? '') ?? []);
  // VFIO asks that of type 1 alone, and s390 has isolated interrupts always
  if (served.every(({type}) => type === 'spapr-tce' || type === 's390')) return [];
  const {isolated, seen, off} = facts.interrupts;
  if (isolated === true) return [];
  const type1 = facts.parameter('vfio_iommu_type1', UNSAFE);
  const iommufd = facts.parameter('iommufd', UNSAFE);
  const [module, parameter] =
    by === 'cdev' ? (['iommufd', iommufd] as const) : (['vfio_iommu_type1', type1] as const);
  // where the container of a group is an IOMMUFD there is no type 1
  if (parameter === 'Y' || (parameter === null && iommufd === 'Y')) return [];
  const risk = `at the risk that a guest raises interrupts of the host, ${howToAllowUnsafe(module, parameter)}`;
  return [
    isolated === null
      ? {
          device: null,
          certain: false,
          found: `kvfio cannot see whether the interrupts of the devices are isolated: ${seen}`,
          cure: null,
        }
      : {
          device: null,
          certain: true,
          found: `the devices could raise interrupts of others, for nothing remaps interrupts: ${seen}`,
          cure:
            off === null
              ? `enable interrupt remapping in the firmware set-up (VT-d or IOMMU, x2APIC), or, ${risk}`
              : `remove ${off} from the kernel command line, or, ${risk}`,
        },
  ];
}

const nameOf = (path: string): string => path.slice(path.lastIndexOf('/') + 1);
