import type {Call, CheckId} from './check.js';

/** Whether a VM can have something: `no` as things are now. */
export type Assignable = 'yes' | 'no' | 'unknown';

/** What stands in the way. */
export interface Obstacle {
  check: CheckId;
  /** The members that it is about; none when it is about the group. */
  devices: string[];
  /** False if kvfio cannot determine whether it stands in the way. */
  certain: boolean;
  /** The call that fails: `probe` is the binding to vfio-pci, `open` that of the group's node, `use` none of the kernel. */
  call: Call;
  /** The kernel's answer by name; null where the kernel refuses nothing, and the VM does not work all the same. */
  errno: string | null;
  /** Where the kernel looks: the function, and its file unless that differs from version to version. */
  source: string;
  /** False where newer code answers otherwise, or by another call, and the kernel is a vendor's that may have it. */
  exact: boolean;
  /** The fact, without a full stop. */
  found: string;
  /** What would remove it, as an imperative without a full stop; null when nothing does. */
  cure: string | null;
}

/** Whether a VM can have a group, and what stands in the way, in the order in which the kernel looks. */
export interface Assignability {
  verdict: Assignable;
  /** The same when `kvfio bind` has given the members to vfio-pci. */
  afterBind: Assignable;
  obstacles: Obstacle[];
}

/** The same of one device: the names of the checks, of which {@link Assignability.obstacles} of its group has the rest. */
export interface DeviceAssignability {
  verdict: Assignable;
  afterBind: Assignable;
  checks: CheckId[];
}

export interface GroupAssessment {
  group: Assignability;
  /** The answer of each device, by its address. */
  devices: ReadonlyMap<string, DeviceAssignability>;
}

/** What a VM may come by: `after bind` where "kvfio bind" is all that it takes, `no` only where not even that helps. */
export type Outlook = Assignable | 'after bind';

export const outlookOf = ({verdict, afterBind}: Pick<Assignability, 'verdict' | 'afterBind'>): Outlook =>
  verdict === 'no' ? AFTER_BIND[afterBind] : verdict;

const AFTER_BIND: Readonly<Record<Assignable, Outlook>> = {yes: 'after bind', no: 'no', unknown: 'unknown'};
