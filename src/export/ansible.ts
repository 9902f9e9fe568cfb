import type {CheckResult} from '../doctor/doctor.js';
import type {ClassFilter} from '../pci/class.js';
import type {Confidence, Verdict} from '../iommu/snoop-control.js';
import type {UnitType} from '../iommu/unit.js';
import {printableJson} from '../printable.js';
import type {Assignable} from '../vfio/eligibility/assess.js';
import type {CheckId} from '../vfio/eligibility/check.js';
import type {Format} from './format.js';
import {COHERENT, isFree} from './group-state.js';
import {KINDS, kindsOf} from './kinds.js';
import type {Reading, Unread} from './reading.js';
import {unreadOf} from './unread-counts.js';

const WRITTEN_BY = 'kvfio export ansible';

/** What `kvfio export ansible` writes, and a playbook finds as `ansible_local.kvfio`. Null is unknown. */
export interface AnsibleFacts {
  writtenBy: typeof WRITTEN_BY;
  schemaVersion: 1;
  kvfioVersion: string;
  /** When the host was read, in seconds since 1970. */
  time: number;
  /** Release of the kernel. */
  kernel: string | null;
  units: UnitFacts[];
  groups: GroupFacts[];
  /** Devices in no group. */
  ungrouped: DeviceFacts[];
  /** Why the host has no groups; null when it has some. */
  noGroups: string | null;
  doctor: DoctorFacts | null;
  vms: VmFacts[] | null;
  /** What could not be read. */
  unread: UnreadFacts;
}

export interface UnitFacts {
  name: string;
  type: UnitType;
  snoop: Verdict;
}

export interface GroupFacts {
  group: number;
  /** Whether a VM can have it as its devices are bound now. */
  assignable: Assignable;
  /** The same after `kvfio bind`. */
  assignableAfterBind: Assignable;
  /** What stands in the way for certain, in the order of the kernel. */
  obstacles: CheckId[];
  /** Whether no process has it open for VFIO. */
  free: boolean | null;
  /** Processes that have it open for VFIO. */
  heldBy: number[] | null;
  /** Whether KVM takes its DMA for cache coherent. */
  coherent: boolean | null;
  snoop: Verdict;
  confidence: Confidence;
  /** What kinds of devices it has, each once. */
  kinds: ClassFilter[];
  devices: DeviceFacts[];
}

export interface DeviceFacts {
  address: string;
  bus: string | null;
  kinds: ClassFilter[];
  /** `8086:10d3`; null on other buses than PCI. */
  ids: string | null;
  classCode: string | null;
  vendor: string | null;
  device: string | null;
  driver: string | null;
  iommu: string | null;
  numaNode: number | null;
  snoop: Verdict;
  assignable: Assignable;
}

export interface DoctorFacts {
  /** Whether nothing fails that is needed. */
  ready: boolean;
  /** State of each check by its name. */
  checks: Record<string, CheckResult['state']>;
  /** What was seen, and what can be done, of those that fail. */
  failed: Pick<CheckResult, 'id' | 'needed' | 'seen' | 'remedy'>[];
}

export interface VmFacts {
  pid: number;
  fd: number;
  command: string;
  name: string | null;
  groups: (number | null)[];
  coherent: boolean | null;
  /** Whether the owner has a kvm-vfio device: without one, KVM knows of no group. */
  kvmVfioDevice: boolean;
}

export interface UnreadFacts {
  parts: Unread[];
  /** How many files could not be read or understood, by the error. */
  files: Record<string, number>;
  /** How many processes could not be looked into. */
  hiddenProcesses: number | null;
}

/** A file that is not executable, which Ansible reads as JSON; of a script that fails it would take nothing. */
export const ansible: Format = {
  summary: 'facts, ansible_local.kvfio in a playbook, for Ansible',
  place: '/etc/ansible/facts.d/kvfio.fact',
  parts: ['details', 'doctor', 'vms', 'holders'],
  mark: `"writtenBy":"${WRITTEN_BY}"`,
  pieces: (reading) => [printableJson(ansibleFacts(reading)), '\n'],
};

export const ansibleFacts = (reading: Reading): AnsibleFacts => {
  const {kvfioVersion, time, groups, doctor, vms} = reading;
  const {files, hiddenProcesses} = unreadOf(reading);
  return {
    writtenBy: WRITTEN_BY,
    schemaVersion: 1,
    kvfioVersion,
    time,
    kernel: groups.kernel.release,
    units: groups.units.map(({name, type, snoopControl}) => ({name, type, snoop: snoopControl.verdict})),
    groups: groups.groups.map((group) => groupFacts(group, reading)),
    ungrouped: groups.ungrouped.map(deviceFacts),
    noGroups: groups.noGroups?.message ?? null,
    doctor: doctor === null ? null : doctorFacts(doctor.ready, doctor.checks),
    vms: vms === null ? null : vms.vms.map(vmFacts),
    unread: {parts: reading.unread, files: Object.fromEntries(files), hiddenProcesses},
  };
};

type GroupOf = Reading['groups']['groups'][number];

const groupFacts = (
  {group, assignable, snoopControl, devices}: GroupOf,
  {holders}: Pick<Reading, 'holders'>,
): GroupFacts => {
  const facts = devices.map(deviceFacts);
  const heldBy = holders === null ? null : [...(holders.byGroup.get(group) ?? [])];
  return {
    group,
    assignable: assignable.verdict,
    assignableAfterBind: assignable.afterBind,
    obstacles: [...new Set(assignable.obstacles.filter(({certain}) => certain).map(({check}) => check))],
    free: isFree(holders, group),
    heldBy,
    coherent: COHERENT[snoopControl.verdict],
    snoop: snoopControl.verdict,
    confidence: snoopControl.confidence,
    kinds: KINDS.filter((kind) => facts.some(({kinds}) => kinds.includes(kind))),
    devices: facts,
  };
};

const deviceFacts = (device: GroupOf['devices'][number]): DeviceFacts => {
  const {address, bus, vendorId, deviceId, classCode, vendor, driver, iommu, numaNode} = device;
  return {
    address,
    bus,
    kinds: kindsOf(device),
    ids: vendorId === null || deviceId === null ? null : `${vendorId}:${deviceId}`,
    classCode,
    vendor,
    device: device.device,
    driver,
    iommu,
    numaNode,
    snoop: device.snoopControl.verdict,
    assignable: device.assignable.verdict,
  };
};

const doctorFacts = (ready: boolean, checks: readonly CheckResult[]): DoctorFacts => ({
  ready,
  checks: Object.fromEntries(checks.map(({id, state}) => [id, state])),
  failed: checks
    .filter(({state}) => state === 'fail')
    .map(({id, needed, seen, remedy}) => ({id, needed, seen, remedy})),
});

const vmFacts = ({
  pid,
  fd,
  command,
  name,
  groups,
  cdevs,
  coherency,
  device,
}: NonNullable<Reading['vms']>['vms'][number]): VmFacts => ({
  pid,
  fd,
  command,
  name,
  groups: [...new Set([...groups, ...cdevs].map(({group}) => group))],
  coherent: {coherent: true, 'non-coherent': false, unknown: null}[coherency.state],
  kvmVfioDevice: device.all.length > 0,
});
