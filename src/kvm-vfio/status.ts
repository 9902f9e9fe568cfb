import type {Confidence, Verdict} from '../iommu/snoop-control.js';
import {DirectoryTree} from '../host/directory-tree.js';
import {fingerprint} from './coherency-record.js';
import type {OwnerWay} from '../owner/owner.js';
import {reachVm, type ReachedVm, type ReachOptions, type VmPlace} from '../owner/reach-owner.js';
import {
  fileIdentity,
  remarks,
  vmIdentity,
  type FileIdentity,
  type Remark,
  type VmIdentity,
} from './change-document.js';
import {mayHaveClosedOne, UNSEEN_DEVICE} from './closed-device.js';
import {coherencyInWords, vmCoherency, type Coherency} from './coherency.js';
import {certainDevice, devicesOf, readVmState, type HeldFile, type VmState} from './vm-state.js';
import {asRecorded, staleRemark, isStale} from './stale-coherency.js';
import {lockOwner, lockOwnerIfPossible} from './owner-lock.js';
import {verifyHeld} from './verify.js';

/** A group or a device that the VM's owner has open. */
export interface StatusFile extends FileIdentity {
  /** Number of its descriptor in the owner. */
  fd: number;
  /** Whether it is registered with the VM's kvm-vfio device; null when that was not asked for, as the kernel has no list. */
  registered: boolean | null;
  /** kvfio handed it over; null when that cannot be seen. */
  given: boolean | null;
  /** Addresses: the device's, or those of the group's members that VFIO drivers have. */
  devices: string[];
  /** VFIO's answer if KVM looked at it now. */
  verdict: Verdict;
  confidence: Confidence;
  /** The same with all members of the group bound; for a device always equal. If they differ, the group has changed or may change. */
  verdictOfAll: Verdict;
  /** The last device has left VFIO since the file was opened, which KVM keeps all the same. */
  gone: boolean;
  /** VFIO's answer to KVM when kvfio last changed the VM's kvm-vfio device, and about how many devices; null when that is not known. */
  decided: {verdict: Verdict; devices: number} | null;
  /** Whether devices have come or gone since, at which KVM does not look; null when it is not known what there was. */
  changedSince: boolean | null;
}

export interface StatusDocument {
  schemaVersion: 1;
  vm: VmIdentity;
  /** How the owner is or would be made to act. */
  via: OwnerWay;
  device: {
    /** The device of this VM, a descriptor of the owner; null when there is none, or when kvfio cannot determine it. */
    fd: number | null;
    /** All kvm-vfio devices of the owner. */
    all: number[];
  };
  files: StatusFile[];
  /** Whether it was found out what is registered. */
  verified: boolean;
  coherency: Coherency;
  /** What its user expects the VM to be; null when they did not say. */
  expected: ExpectedState | null;
  /** Whether it is that; null when nothing was expected, or that is unknown. */
  asExpected: boolean | null;
  warnings: Remark[];
}

/** What a VM can be expected to be. */
export const EXPECTATIONS = ['coherent', 'non-coherent'] as const;
export type ExpectedState = (typeof EXPECTATIONS)[number];

export interface StatusOptions extends ReachOptions {
  deviceFd: number | undefined;
  /** Find out what is registered: by ADD, which answers EEXIST, or is undone by DEL. */
  verify: boolean;
  expected?: ExpectedState | undefined;
}

/**
 * What a VM's kvm-vfio device is like. Changes nothing, but that `verify` adds files for a moment that are not
 * registered.
 *
 * @throws {@link Failure}
 */
export const vmStatus = async (place: VmPlace, options: StatusOptions): Promise<StatusDocument> => {
  using vm = await reachVm(place, options);
  // no other kvfio may see the owner in between
  const turn = await (options.verify ? lockOwner : lockOwnerIfPossible)(vm, options.deadline);
  try {
    return statusOf(vm, options);
  } finally {
    turn?.[Symbol.dispose]();
  }
};

const statusOf = (vm: ReachedVm, options: StatusOptions): StatusDocument =>
  statusFrom(
    vm,
    readVmState(vm, {files: [], deviceFd: options.deviceFd, tree: new DirectoryTree()}),
    options,
  );

/**
 * What follows from the state of a VM as found, with a look at what is registered where that is asked for.
 *
 * @throws {@link Failure} when the look is refused
 */
export const statusFrom = (
  vm: StatusVm,
  facts: VmState,
  options: Pick<StatusOptions, 'verify' | 'expected'>,
): StatusDocument => {
  const {host, devices, ambiguous, cpu} = facts;
  const device = options.verify ? certainDevice(facts) : null;
  const held =
    device === null || facts.held.length === 0
      ? facts.held.map(withoutDevice(facts))
      : verifyHeld(vm, device, facts);
  const mayHoldMore = mayHaveClosedOne(facts, facts.device);
  const seen = vmCoherency(held.map(asRecorded), host.kernel, cpu);
  const coherency =
    mayHoldMore && seen.state === 'coherent' ? coherencyInWords('unknown', host.kernel, cpu) : seen;
  const {expected = null} = options;
  return {
    schemaVersion: 1,
    vm: vmIdentity(vm),
    via: vm.way,
    device: {fd: facts.device, all: devices},
    files: held.map((file) => ({
      ...fileIdentity(file.node),
      fd: file.fd,
      registered: file.registered,
      given: file.given,
      devices: devicesOf(file),
      verdict: file.verdict,
      confidence: file.confidence,
      verdictOfAll:
        file.node.kind === 'cdev' || file.group === null
          ? file.verdict
          : file.group.snoopControl.allMembers.verdict,
      gone: file.gone,
      decided: file.record === null ? null : {verdict: file.record.verdict, devices: file.record.members},
      changedSince: hasChanged(file),
    })),
    verified: options.verify,
    coherency,
    expected,
    asExpected: expected === null || coherency.state === 'unknown' ? null : coherency.state === expected,
    warnings: [
      ...remarks(host.warnings),
      ...(ambiguous ? [SEVERAL] : []),
      ...(mayHoldMore ? [UNSEEN_DEVICE] : []),
      ...held.flatMap((file) => changedMembers(file)),
      ...held.filter((file) => file.registered !== false && isStale(file)).map(staleRemark),
    ],
  };
};

type StatusVm = Pick<ReachedVm, 'pid' | 'comm' | 'vmFd' | 'socket' | 'way' | 'open'>;

const hasChanged = (file: HeldFile): boolean | null =>
  file.record === null ? null : file.gone || file.record.fingerprint !== fingerprint(devicesOf(file));

/** Without a device nothing is registered. */
const withoutDevice =
  (facts: VmState) =>
  (file: HeldFile): HeldFile =>
    facts.device === null && !facts.ambiguous && !mayHaveClosedOne(facts, null)
      ? {...file, registered: false}
      : file;

const SEVERAL: Remark = {
  code: 'SEVERAL_DEVICES',
  message:
    'the owner has several VMs or kvm-vfio devices, and kvfio cannot determine which belong together: see --device-fd',
};

/** KVM looks only when files are added or deleted. */
const changedMembers = (file: HeldFile): Remark[] => {
  const {name, node, group, record} = file;
  if (group === null)
    return [
      {
        code: 'FILE_GONE',
        message: `all devices of ${name} have left VFIO: KVM keeps its file until it is deleted ("kvfio detach"), and judges the VM again only when a file is added or deleted; devices that come back make another file`,
      },
    ];
  if (record !== null && hasChanged(file) === true)
    return [
      {
        code: 'MEMBERS_CHANGED',
        message: `KVM judged ${name} when VFIO had ${record.members} ${record.members === 1 ? 'device' : 'devices'} of it (${record.verdict}), and VFIO has others now: ${devicesOf(file).join(', ')} (${file.verdict}); KVM judges it again when a file is added or deleted`,
      },
    ];
  if (node.kind === 'cdev') return [];
  const {boundMembers, allMembers} = group.snoopControl;
  if (boundMembers === null || boundMembers.verdict === allMembers.verdict) return [];
  return [
    {
      code: 'MEMBERS_DIFFER',
      message: `group ${group.id} is ${boundMembers.verdict} with the members that VFIO has now, and ${allMembers.verdict} with all: KVM does not judge it again when members come or go`,
    },
  ];
};
