import type {SelectedDevice} from '../../pci/selector/select-device.js';
import type {Blocker} from '../../iommu/viability.js';
import type {Assignability} from '../eligibility/assess.js';
import type {Binding} from './binding.js';
import type {GuardName} from './guards/guard-table.js';

/** A step in words: what it does, and what undoes it when a later one fails (null: nothing can). */
export interface DriverStepText {
  does: string;
  undo: string | null;
}

/** What a guard found. */
export interface GuardFinding {
  guard: GuardName;
  device: string;
  /** A sentence without its full stop. */
  found: string;
}

/** A finding, as documents have it. */
export interface ListedFinding extends GuardFinding {
  /** Address of the device. */
  address: string;
  /** Old name of `address`. */
  device: string;
}

/** What became of a device, and was of it before. */
export interface BoundDevice {
  address: string;
  /** What lspci calls it, with numbers where pci.ids lacks names; null of a device of another bus. */
  name: string | null;
  /** Its IOMMU group; null when it is in none. */
  group: number | null;
  before: Binding;
  /** The binding afterwards; in a dry run a prediction, in which a null driver also means that only the kernel knows. */
  after: Binding;
  outcome: 'changed' | 'planned' | 'left-alone' | 'gone';
  /** Why it was left alone; else null. */
  reason: string | null;
  /** Why it gets that driver of VFIO, where kvfio has chosen it; else null. */
  chosen: string | null;
}

/** A group with one of the devices in it. */
export interface BoundGroup {
  group: number;
  /** `/dev/vfio/12`; null when VFIO has no device of it. */
  node: string | null;
  /** Owner of the node by number; null when there is none. */
  uid: number | null;
  /**
   * Whether VFIO accepts it: the kernel's word where it could be asked, else as its members are bound. Null in a dry run that
   * leaves it to the kernel which driver a member gets, or to a driver whether virtual functions go with it.
   */
  viable: boolean | null;
  /** The members that stand in the way. */
  blockers: Blocker[];
  /** Whether a VM can have it, and what stands in the way; of a dry run, when its steps are done. */
  assignable: Pick<Assignability, 'verdict' | 'obstacles'>;
}

interface DriverChange {
  schemaVersion: 1;
  dryRun: boolean;
  /** Whether anything changed, or in a dry run would change. */
  changed: boolean;
  /** What each --device was taken for. */
  selected: SelectedDevice[];
  devices: BoundDevice[];
  groups: BoundGroup[];
  /** What guards found and a --force overruled. */
  overruled: ListedFinding[];
  /** Findings for which the command would be refused; only a dry run has any. */
  refused: ListedFinding[];
  /** Modules that were loaded, or in a dry run would be. They stay. */
  modules: string[];
  steps: DriverStepText[];
  warnings: {code: string; message: string}[];
}

/** What `kvfio bind` answers. */
export interface BindDocument extends DriverChange {
  command: 'bind';
}

/** What `kvfio unbind` answers. */
export interface UnbindDocument extends DriverChange {
  command: 'unbind';
  /** Whether it was about interrupted work. */
  recover: boolean;
}
