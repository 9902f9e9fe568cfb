import {Flags} from '@oclif/core';
import {DirectoryTree} from '../../host/directory-tree.js';
import {isOnOtherBus} from '../../iommu/group-of-device.js';
import type {NamedFiles} from '../../kvm-vfio/change-report.js';
import {Deadline} from '../../linux/deadline.js';
import {VIAS, type ReachOptions, type Via, type VmPlace} from '../../owner/reach-owner.js';
import {INT_MAX} from './int-max.js';
import {SELECTOR_HELP, selectedDevices} from './selected-devices.js';
import {usageFailure} from '../usage/usage-failure.js';

/** How long another process may take. */
export const timeoutFlag = (helpGroup: string) =>
  Flags.integer({
    description: 'seconds to wait for the VM, and then for each answer of its owner',
    default: 10,
    min: 1,
    max: 86_400,
    helpValue: 'SECONDS',
    helpGroup,
  });

/** Flags of every command that is about a VM of another process. */
export const vmFlags = {
  'vm-sock': Flags.string({
    summary: 'socket at which the VMM hands out its VM',
    description: 'socket at which the VMM hands out its VM: a path, or an abstract name after an @',
    helpValue: 'PATH|@NAME',
    helpGroup: 'VM',
  }),
  pid: Flags.integer({
    description: 'process that has the VM, as "kvfio vms" lists it',
    min: 1,
    max: INT_MAX,
    helpValue: 'PID',
    helpGroup: 'VM',
  }),
  wait: Flags.boolean({
    description: "wait until the socket, or the process's VM, is there",
    helpGroup: 'VM',
  }),
  timeout: timeoutFlag('OWNER'),
  'vm-fd': Flags.integer({
    description: 'descriptor of the VM in that process, if it has several VMs',
    min: 0,
    max: INT_MAX,
    helpValue: 'N',
    helpGroup: 'OWNER',
    dependsOn: ['pid'],
  }),
  'device-fd': Flags.integer({
    description: "descriptor of the VM's kvm-vfio device in its owner, if that has several VMs",
    min: 0,
    max: INT_MAX,
    helpValue: 'N',
    helpGroup: 'OWNER',
  }),
  via: Flags.option({options: VIAS, default: 'auto' as Via})({
    description:
      "how kvfio makes the owner act: through its agent, or by injecting system calls into one of its threads; direct is for kvfio's own VMs",
    helpGroup: 'OWNER',
  }),
  'suspend-seccomp': Flags.boolean({
    description:
      'inject calls even if a seccomp filter would kill the owner for them: kvfio suspends the filter for a few microseconds; if kvfio is killed in that time, the filter kills the owner',
    helpGroup: 'OWNER',
  }),
};

/** A flag of every command that changes something. */
export const dryRunFlag = Flags.boolean({
  summary: 'print the steps and their result; change nothing',
  description: 'print the steps and what will be true after them; change nothing',
  // else it is undefined, which JSON leaves out
  default: false,
});

/** Flags of every command that is about files of VFIO: see {@link namedFiles}. */
export const fileFlags = {
  group: Flags.integer({
    char: 'g',
    description: 'an IOMMU group; several succeed or fail together',
    multiple: true,
    min: 0,
    max: INT_MAX,
    helpValue: 'N',
  }),
  cdev: Flags.string({
    summary: 'a device, by its own VFIO node (IOMMUFD)',
    description: `a device, through its own node below /dev/vfio/devices (Linux 6.6 and newer with IOMMUFD), by ${SELECTOR_HELP}`,
    multiple: true,
    helpValue: 'BDF',
  }),
};

export interface FileFlagValues {
  group?: number[] | undefined;
  cdev?: string[] | undefined;
}

/**
 * Groups and devices in the order in which they are worked on.
 *
 * @param otherwise - what may be named in their place
 * @throws {@link Failure} when none is named, or a text does not name one device
 */
export const namedFiles = (
  {group = [], cdev = []}: FileFlagValues,
  {note, otherwise = '--group or --cdev'}: {note: (line: string) => void; otherwise?: string | undefined},
): Required<NamedFiles> => {
  if (group.length + cdev.length === 0)
    throw usageFailure('No group or device is named.', `Use ${otherwise}.`);
  const tree = new DirectoryTree();
  const selected = selectedDevices(tree, cdev, {
    note,
    // a mediated device that is gone can still be detached
    isElsewhere: (name) => UUID.test(name) || isOnOtherBus(tree, name),
  });
  return {
    files: [
      ...group.map((id) => ({kind: 'group' as const, group: id})),
      ...selected.map(({address}) => ({kind: 'cdev' as const, address})),
    ],
    selected,
  };
};

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

export interface VmFlagValues {
  'vm-sock'?: string | undefined;
  pid?: number | undefined;
  'vm-fd'?: number | undefined;
  'device-fd'?: number | undefined;
  via: Via;
  'suspend-seccomp'?: boolean | undefined;
  timeout: number;
  wait: boolean;
}

/** @throws Failure unless exactly one place is named */
export const vmPlace = ({'vm-sock': socket, pid, 'vm-fd': vmFd}: VmFlagValues): VmPlace => {
  if (socket !== undefined && pid === undefined) return {socket};
  if (pid !== undefined && socket === undefined) return {pid, vmFd};
  throw usageFailure(
    pid === undefined ? 'No VM is named.' : '--vm-sock and --pid both name a VM, and kvfio works on one.',
    pid === undefined
      ? 'Name its process with --pid, as "kvfio vms" lists them, or with --vm-sock the socket that hands it out.'
      : 'Leave one of them out.',
  );
};

export const reachOptions = (flags: VmFlagValues): ReachOptions & {deviceFd: number | undefined} => ({
  via: flags.via,
  deadline: Deadline.after(flags.timeout * 1000),
  patience: flags.timeout * 1000,
  suspendSeccomp: flags['suspend-seccomp'],
  wait: flags.wait,
  deviceFd: flags['device-fd'],
});
