import type {FailureKind, FailureParts} from '../../failure.js';
import {SyscallError} from '../../linux/errno.js';
import type {HostTree} from '../../linux/host-tree.js';
import type {Step} from './steps.js';

/** Why a step failed. */
export type Refusal = Omit<FailureParts, 'what'> & {kind: FailureKind};

/** A refused write, in words that are true for that file and driver. */
export const explainRefusal = (tree: HostTree, step: Step, {code, path}: SyscallError): Refusal => {
  const [why, hint] = (step.action === 'bind'
    ? ((step.driver === 'vfio-pci' ? vfioReasons(tree, step.device.path)[code] : undefined) ?? BIND[code])
    : step.action === 'own'
      ? OWN[code]
      : undefined) ??
    COMMON[code] ?? ['', DMESG];
  return {
    code: `KERNEL_${code.replaceAll(/\W/g, '_')}`,
    kind: 'kernelRefused',
    why: `${path ?? 'The kernel'} answered ${code}${why === '' ? '' : `: ${why}`}.`,
    hint,
    errno: code,
  };
};

type Reasons = Partial<Record<string, [why: string, hint: string]>>;

const DMESG = 'Look at the messages of the kernel with dmesg.';

/** Answers of vfio_pci_core_register_device() and of what it calls. */
const vfioReasons = (tree: HostTree, path: string): Reasons => ({
  EINVAL: isThere(tree.link(`${path}/iommu_group`))
    ? [
        'vfio-pci does not drive it, because its IOMMU lacks cache coherency, or it is no ordinary function (header type 0)',
        'Ask "kvfio groups --explain" about its group.',
      ]
    : [
        'vfio-pci does not drive it, because it is in no IOMMU group',
        'Switch the IOMMU on; "kvfio groups" says how.',
      ],
  EBUSY: [
    'it has virtual functions, or has got another driver meanwhile',
    'Take away its virtual functions: write 0 to its sriov_numvfs.',
  ],
});

const BIND: Reasons = {
  EBUSY: [
    'it has got another driver meanwhile, or a process has its IOMMU group open through VFIO, so that no other driver may do DMA there',
    'Close the group; "kvfio groups" shows drivers.',
  ],
  ENODEV: ['the driver does not know this device, or the device is gone', DMESG],
  ENXIO: ['the driver does not find its device working', DMESG],
  EAGAIN: ['the driver waits for another one, and will try again', DMESG],
  ENOENT: ['the driver is not there', 'Load its module.'],
};

const OWN: Reasons = {
  EROFS: ['/dev is read-only here', 'Run kvfio outside of the container.'],
  EPERM: ['you may not change its owner', 'Run kvfio as root, outside of a container.'],
};

const COMMON: Reasons = {
  ENOENT: ['the device is gone', DMESG],
  ENODEV: ['the device is gone, or is not with this driver any more', 'Try again.'],
  EACCES: ['you may not write it', 'Run kvfio as root, outside of a container.'],
  EPERM: ['you may not write it', 'Run kvfio as root, outside of a container.'],
  EROFS: ['/sys is read-only here', 'Run kvfio outside of the container.'],
};

const isThere = (answer: string | SyscallError): boolean => !(answer instanceof SyscallError);
