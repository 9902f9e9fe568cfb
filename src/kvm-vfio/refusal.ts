import type {FailureKind, FailureParts} from '../failure.js';
import type {SyscallError} from '../linux/errno.js';
import type {OwnerWay} from '../owner/owner.js';
import type {PlanStep} from './plan.js';

/** Why the kernel, or the agent, refused a step, in words that are true for that call. */
export type DeviceRefusal = Omit<FailureParts, 'what'> & {kind: FailureKind};

/** The reasons are those of virt/kvm/vfio.c, and of kvm_main.c for EIO. */
export const explainDeviceRefusal = (
  action: PlanStep['action'],
  {code, syscall}: SyscallError,
  way: OwnerWay,
): DeviceRefusal => {
  const [why, hint] = REASONS[action]?.[code] ??
    (way === 'agent' ? AGENT[code] : undefined) ??
    COMMON[code] ?? [`The kernel answered ${code} to ${syscall}.`, 'Look at its messages with dmesg.'];
  return {code: `KERNEL_${code.replaceAll(/\W/g, '_')}`, kind: 'kernelRefused', why, hint, errno: code};
};

type Reasons = Record<string, [why: string, hint: string]>;

const REASONS: Partial<Record<PlanStep['action'], Reasons>> = {
  'create-device': {
    EBUSY: [
      'The VM has a kvm-vfio device already, and can have only one (EBUSY). Before Linux 6.1.9 a closed one counts too.',
      'Use --if-missing, or "kvfio attach", which uses the one that is there. If "kvfio status" shows none, start the VM anew.',
    ],
    ENODEV: [
      "This kernel's KVM has no kvm-vfio device (ENODEV).",
      'Use a kernel with CONFIG_KVM_VFIO, which x86, arm64, powerpc and s390 have.',
    ],
    EBADF: ['The owner has closed the descriptor of the VM meanwhile (EBADF).', 'Try again.'],
  },
  add: {
    EEXIST: [
      'This open file is registered with the device already (EEXIST).',
      'Nothing needs doing; "kvfio attach" takes that for success.',
    ],
    EINVAL: [
      'KVM does not accept it as a VFIO file (EINVAL). Before Linux 5.19 it takes a group only in a container that has its IOMMU driver, and only while no driver of the host has a member.',
      'Name a group, on such a kernel with --container type1 or after its VMM has put it into a container; a device of its own (cdev) can be added since Linux 6.6.',
    ],
    EBADF: ['The owner has closed one of the descriptors meanwhile (EBADF).', 'Try again.'],
    ENXIO: [
      'The device has no such attribute, so it is not a kvm-vfio device (ENXIO).',
      'Look at --device-fd.',
    ],
  },
  delete: {
    ENOENT: [
      'It is not registered with the device (ENOENT).',
      'Nothing needs doing; "kvfio detach" takes that for success.',
    ],
    EBADF: ['The owner has closed one of the descriptors meanwhile (EBADF).', 'Try again.'],
    ENXIO: [
      'The device has no such attribute, so it is not a kvm-vfio device (ENXIO).',
      'Look at --device-fd.',
    ],
  },
  close: {
    EBADF: [
      'The owner has closed it already, or its agent does not hold it because it came another way (EBADF).',
      'Use --via inject if kvfio handed it over by injection.',
    ],
  },
  'close-device': {
    EBADF: [
      'The owner has closed it already, or opened it itself, and the agent does not give it up (EBADF).',
      'Leave out --close-device.',
    ],
  },
};

/** What an agent says by itself, without asking the kernel. */
const AGENT: Reasons = {
  ENOSPC: [
    'The agent of its VMM holds as many descriptors as it may (ENOSPC).',
    'Detach groups that are not needed any more.',
  ],
  EPERM: ['The agent of its VMM does not do that for clients (EPERM).', 'Use --via inject.'],
  ENOSYS: ['The agent of its VMM does not know this request (ENOSYS).', 'Use --via inject.'],
};

const COMMON: Reasons = {
  EIO: [
    'The process did not create this VM, or has executed another program since, or the VM is dead (EIO).',
    'Name the process that created it with --pid, or start the VM anew.',
  ],
  EMFILE: [
    'The owner has as many descriptors open as it may (EMFILE).',
    'Raise its limit: "prlimit --nofile=4096 --pid PID".',
  ],
  ENFILE: ['The host has as many files open as it may (ENFILE).', 'Raise fs.file-max.'],
  ENOMEM: ['The kernel is out of memory (ENOMEM).', 'Free memory and try again.'],
};
