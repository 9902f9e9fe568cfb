import type {FailureKind} from '../../failure.js';
import {applies, type Call, type KernelCheck, type Examined} from './check.js';

/** An errno, in words that are true for the call and the group. */
export interface Explanation {
  kind: FailureKind;
  why: string;
  hint: string;
}

/** What a call is answered for a reason that is no matter of a group, or does not show before. */
interface OtherAnswer extends Explanation, Pick<KernelCheck, 'since' | 'before' | 'source'> {
  call: Call;
  errno: string;
}

export const otherAnswer = (
  host: Pick<Examined, 'version'>,
  {call, errno}: {call: Call; errno: string},
): Explanation | null => {
  const found = OTHER_ANSWERS.find(
    (answer) => answer.call === call && answer.errno === errno && applies(answer, host),
  );
  return found === undefined ? null : {kind: found.kind, why: found.why, hint: found.hint};
};

/** The kernel's reasons beside the checks; `open` is that of a group's node, or of a cdev. */
const OTHER_ANSWERS: readonly OtherAnswer[] = [
  {
    call: 'open',
    errno: 'ENOENT',
    source: 'the file system that is mounted on /dev',
    kind: 'notFound',
    why: 'This /dev does not have the node, but the kernel has what it is for.',
    hint: 'Run kvfio outside of the container, or have the node made.',
  },
  {
    call: 'open',
    errno: 'ENXIO',
    source: 'chrdev_open(), and kvfio where the node is of another device',
    kind: 'refused',
    why: 'The node of that name is of another device.',
    hint: 'Have udev make the nodes below /dev/vfio anew.',
  },
  {
    call: 'open',
    errno: 'ENODEV',
    source: 'vfio_group_fops_open(), vfio_device_fops_cdev_open()',
    kind: 'notFound',
    why: 'Its last device is leaving VFIO.',
    hint: 'Bind it again with "kvfio bind".',
  },
  {
    call: 'open',
    errno: 'EACCES',
    source: 'fs/namei.c, may_open()',
    kind: 'permission',
    why: 'You may not open it.',
    hint: 'Run kvfio as root, or have root give you the node: "kvfio bind --user NAME" does so.',
  },
  {
    call: 'open',
    errno: 'EPERM',
    source: 'vfio_group_fops_open(), of a group without an IOMMU',
    kind: 'permission',
    why: 'Only processes with CAP_SYS_RAWIO may use a device without an IOMMU.',
    hint: 'Run kvfio as root.',
  },
  {
    call: 'VFIO_GROUP_SET_CONTAINER',
    errno: 'EPERM',
    source: 'drivers/iommu/iommu.c, iommu_group_claim_dma_owner()',
    kind: 'refused',
    why: 'The kernel says that another driver does DMA with a device of the group, and kvfio sees none that does.',
    hint: 'Find out who uses its devices; "kvfio groups" shows their drivers.',
  },
  {
    call: 'VFIO_GROUP_SET_CONTAINER',
    errno: 'EBUSY',
    since: [5, 19],
    source: 'drivers/iommu/iommu.c, __iommu_take_dma_ownership()',
    kind: 'refused',
    why: 'The group is in an IOMMU domain of another driver.',
    hint: 'Find out which driver uses its devices, or use --container none.',
  },
  {
    call: 'VFIO_SET_IOMMU',
    errno: 'EPERM',
    since: [6, 6],
    source: 'drivers/vfio/vfio_iommu_type1.c, vfio_iommu_type1_attach_group()',
    kind: 'refused',
    why: 'The kernel says that interrupts of its devices are not isolated, which does not show in /proc/interrupts.',
    hint: 'Look for the line of vfio_iommu_type1 in dmesg, or use --container none.',
  },
  {
    call: 'VFIO_SET_IOMMU',
    errno: 'EPERM',
    before: [6, 6],
    source: 'vfio_iommu_type1_attach_group(), and attach_dev of the IOMMU driver',
    kind: 'refused',
    why: 'The kernel says that interrupts of its devices are not isolated, or that firmware keeps memory mapped for one of them, and neither shows in /proc/interrupts and reserved_regions.',
    hint: 'Look for the lines of vfio_iommu_type1 and of DMAR in dmesg, or use --container none.',
  },
  {
    call: 'VFIO_SET_IOMMU',
    errno: 'ENODEV',
    source: 'vfio_ioctl_set_iommu()',
    kind: 'notFound',
    why: 'The kernel has no type 1 IOMMU driver.',
    hint: 'Run "modprobe vfio_iommu_type1".',
  },
];
