import type {Warning} from '../host/attributes.js';
import type {Confidence, Verdict} from '../iommu/snoop-control.js';
import type {SelectedDevice} from '../pci/selector/select-device.js';
import type {FileNode} from '../vfio/file-node.js';
import type {OwnerWay} from '../owner/owner.js';
import type {ReachedVm} from '../owner/reach-owner.js';
import type {FileOutcome} from './apply.js';
import type {Coherency} from './coherency.js';
import type {PlanStepText} from './plan.js';

/** A VM and its owner. */
export interface VmIdentity {
  /** Its owner's. */
  pid: number;
  /** Name of the owner's process, which chose it. */
  command: string;
  /** Number of the VM's descriptor in the owner. */
  fd: number;
  /** Socket that the VM was received from; null when it was taken from the process. */
  socket: string | null;
}

export const vmIdentity = ({
  pid,
  comm,
  vmFd,
  socket,
}: Pick<ReachedVm, 'pid' | 'comm' | 'vmFd' | 'socket'>): VmIdentity => ({
  pid,
  command: comm,
  fd: vmFd,
  socket,
});

/** What deserves attention and is not a failure. */
export interface Remark {
  code: string;
  message: string;
}

/** What went wrong while the machine was read. */
export const remarks = (warnings: readonly Warning[]): Remark[] =>
  warnings.map(({code, message}) => ({code, message}));

/** A file of VFIO: a group, or a device by its cdev. */
export interface FileIdentity {
  kind: FileNode['kind'];
  /** The IOMMU group that it is, or that the device is in; null when that is not known. */
  group: number | null;
  /** Address of the device; null for a group. */
  cdev: string | null;
}

export const fileIdentity = (node: FileNode): FileIdentity => ({
  kind: node.kind,
  group: node.group,
  cdev: node.kind === 'cdev' ? node.address : null,
});

/** One file that was asked for. */
export interface ChangedFile extends FileIdentity {
  /** Number of its descriptor in the owner, now or after; null when there is none, or it is not known yet. */
  fd: number | null;
  /** `planned` in a dry run. */
  outcome: FileOutcome | 'planned';
  /** Whether the IOMMU enforces coherency for it, as VFIO of this kernel answers KVM. */
  verdict: Verdict;
  confidence: Confidence;
}

/** What `create`, `add`, `delete`, `attach` and `detach` answer. */
export interface ChangeDocument {
  schemaVersion: 1;
  command: 'create' | 'add' | 'delete' | 'attach' | 'detach';
  dryRun: boolean;
  /** Whether anything changed, or in a dry run would change; null when only the kernel knows. */
  changed: boolean | null;
  /** What each --cdev was taken for. */
  selected: SelectedDevice[];
  vm: VmIdentity;
  via: OwnerWay;
  device: {
    /** Number of the kvm-vfio device's descriptor in the owner; null when there is none. */
    fd: number | null;
    state: 'created' | 'found' | 'closed' | 'none' | 'to-be-created' | 'to-be-closed';
  };
  files: ChangedFile[];
  steps: PlanStepText[];
  before: Coherency;
  /** The state after the change; in a dry run a prediction. */
  after: Coherency;
  warnings: Remark[];
}
