import {Flags} from '@oclif/core';
import {Failure} from '../failure.js';
import {Deadline} from '../linux/deadline.js';
import {VIAS, type ReachOptions, type Via, type VmPlace} from '../vm/reach-owner.js';

/** Flags of every command that is about a VM of another process. */
export const vmFlags = {
  'vm-sock': Flags.string({
    description: 'socket that hands out the VM: a path, or an abstract name after an @',
    helpValue: 'PATH|@ABSTRACT',
    helpGroup: 'VM',
  }),
  pid: Flags.integer({description: 'process that has the VM', min: 1, helpValue: 'PID', helpGroup: 'VM'}),
  'vm-fd': Flags.integer({
    description: 'number of the VM in that process, when it has several',
    min: 0,
    helpValue: 'N',
    helpGroup: 'VM',
    dependsOn: ['pid'],
  }),
  'device-fd': Flags.integer({
    description: "number of the VM's kvm-vfio device in its owner, when that has several VMs",
    min: 0,
    helpValue: 'N',
    helpGroup: 'VM',
  }),
  via: Flags.option({options: VIAS, default: 'auto' as Via})({
    description:
      "how the owner is made to act: through its agent, or by injecting system calls into one of its threads; direct is for kvfio's own VMs",
    helpGroup: 'VM',
  }),
  timeout: Flags.integer({
    description: 'seconds for each of: finding the VM, and an answer of its owner',
    default: 10,
    min: 1,
    max: 86_400,
    helpValue: 'SECONDS',
    helpGroup: 'VM',
  }),
  wait: Flags.boolean({
    description: "wait for the socket, or for the process's VM, to appear",
    helpGroup: 'VM',
  }),
};

/** Of every command that changes something. */
export const dryRunFlag = Flags.boolean({
  description: 'print the steps and what will be true after them, and change nothing',
  // else it is undefined, which JSON leaves out
  default: false,
});

/** Of every command that is about groups. */
export const groupFlag = Flags.integer({
  char: 'g',
  description: 'an IOMMU group; several are all or none',
  multiple: true,
  required: true,
  min: 0,
  helpValue: 'N',
});

export interface VmFlagValues {
  'vm-sock'?: string | undefined;
  pid?: number | undefined;
  'vm-fd'?: number | undefined;
  'device-fd'?: number | undefined;
  via: Via;
  timeout: number;
  wait: boolean;
}

/** @throws Failure unless exactly one place is named */
export const vmPlace = ({'vm-sock': socket, pid, 'vm-fd': vmFd}: VmFlagValues): VmPlace => {
  if (socket !== undefined && pid === undefined) return {socket};
  if (pid !== undefined && socket === undefined) return {pid, vmFd};
  throw new Failure({
    code: 'USAGE',
    kind: 'usage',
    what: 'The command line was not understood.',
    why: pid === undefined ? 'No VM is named.' : 'A socket and a process are named, and one VM is managed.',
    hint: 'Use either --vm-sock or --pid.',
  });
};

export const reachOptions = (flags: VmFlagValues): ReachOptions & {deviceFd: number | undefined} => ({
  via: flags.via,
  deadline: Deadline.after(flags.timeout * 1000),
  patience: flags.timeout * 1000,
  wait: flags.wait,
  deviceFd: flags['device-fd'],
});
