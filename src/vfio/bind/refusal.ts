import type {FailureKind, FailureParts} from '../../failure.js';
import {VFIO_DRIVER} from '../../iommu/device.js';
import {readHost} from '../../iommu/host.js';
import type {SyscallError} from '../../linux/errno.js';
import type {HostTree} from '../../host/tree.js';
import {examine} from '../eligibility/examined.js';
import {explainDriverProbe} from '../eligibility/kernel-answer.js';
import {DRIVER_PROBE_CHECKS} from '../eligibility/probe-checks.js';
import type {DriverStep} from './steps.js';

/** Why a step failed. */
export type BindRefusal = Omit<FailureParts, 'what'> & {kind: FailureKind};

/** A refused write, in words that are true for that file and driver. */
export const explainBindRefusal = (
  tree: HostTree,
  step: DriverStep,
  {code, path}: SyscallError,
): BindRefusal => {
  const [why, hint] = (step.action === 'bind'
    ? ((VFIO_DRIVER.test(step.driver) ? probeReasons(tree, step.device.path, code) : undefined) ?? BIND[code])
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

/** What the checks say of a device that a driver of VFIO does not take; undefined for an errno that they do not know. */
const probeReasons = (tree: HostTree, path: string, errno: string): Reasons[string] => {
  if (!DRIVER_PROBE_CHECKS.some((check) => check.errno === errno)) return undefined;
  const host = readHost(tree, {details: false, noSnoop: false});
  const all = [
    ...host.groups.flatMap((group) => group.devices.map((device) => ({device, group}))),
    ...host.ungrouped.map((device) => ({device, group: null})),
  ];
  const member = all.find(({device}) => device.path === path);
  if (member === undefined) return undefined;
  const explained = explainDriverProbe(examine(tree, host), member, errno);
  return explained === null ? undefined : [explained.why.replace(/\.$/, ''), explained.hint];
};

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
