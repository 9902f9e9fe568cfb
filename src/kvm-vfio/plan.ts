import type {Container} from '../vfio/group-file.js';
import type {FileNode} from '../vfio/file-node.js';

/** A group, or a device by its cdev, that a plan is about. */
export interface PlannedFile {
  /** `group 12` or `cdev 0000:01:00.0`, no two the same. */
  name: string;
  node: FileNode;
  /** Number of its descriptor in the owner; null when the owner has none yet. */
  fd: number | null;
  /** kvfio handed it over, so that kvfio may take it back. */
  given: boolean;
  /** What a group is put into when kvfio opens it. */
  container: Container;
}

/** One thing to do. Which descriptor that needs a former step may have made. */
export type PlanStep =
  /** kvfio itself opens the file, which leaves nothing behind. */
  | {action: 'open'; file: PlannedFile}
  /** `stays`: closing it would not undo it, see {@link Plan.closeReleases}. */
  | {action: 'create-device'; stays: boolean}
  | {action: 'give'; file: PlannedFile}
  /** `toleratesNoop`: EEXIST is the answer that it is so already, and no error. */
  | {action: 'add'; file: PlannedFile; toleratesNoop: boolean}
  /** `toleratesNoop`: ENOENT likewise. */
  | {action: 'delete'; file: PlannedFile; toleratesNoop: boolean}
  | {action: 'close'; file: PlannedFile}
  | {action: 'close-device'; fd: number};

const createDevice = ({closeReleases}: Pick<Plan, 'closeReleases'>): PlanStep => ({
  action: 'create-device',
  stays: closeReleases === false,
});

/** What a VM's kvm-vfio device is now, and the steps that are to change it. Says nothing of how they are executed. */
export interface Plan {
  /** Number of the device in the owner; null when there is none. */
  device: number | null;
  files: readonly PlannedFile[];
  /** Whether closing the device makes room for another one on this kernel (model/rules.ts); true by default. */
  closeReleases?: boolean | undefined;
  steps: PlanStep[];
}

type Situation = Omit<Plan, 'steps'>;

/** KVM_CREATE_DEVICE, and when `ifMissing` only for a VM that has none. */
export const createPlan = (
  {device, closeReleases}: Pick<Situation, 'device' | 'closeReleases'>,
  ifMissing: boolean,
): Plan => ({
  device,
  files: [],
  closeReleases,
  steps: ifMissing && device !== null ? [] : [createDevice({closeReleases})],
});

/** What opens can fail without a trace, so it comes first. */
export const attachPlan = ({device, files, closeReleases}: Situation): Plan => ({
  device,
  files,
  closeReleases,
  steps: [
    ...files.filter(isMissing).map((file) => ({action: 'open' as const, file})),
    ...(device === null ? [createDevice({closeReleases})] : []),
    ...files.flatMap((file) => [...given(file), {action: 'add' as const, file, toleratesNoop: true}]),
  ],
});

/** The kernel's ADD as it is. */
export const addPlan = ({device, files}: Situation): Plan => ({
  device,
  files,
  steps: [
    ...files.filter(isMissing).map((file) => ({action: 'open' as const, file})),
    ...files.flatMap((file) => [...given(file), {action: 'add' as const, file, toleratesNoop: false}]),
  ],
});

/** The kernel's DEL as it is: what the owner has not is handed over to be answered ENOENT. */
export const deletePlan = ({device, files}: Situation): Plan => ({
  device,
  files,
  steps: [
    ...files.filter(isMissing).map((file) => ({action: 'open' as const, file})),
    ...files.flatMap((file) => [...given(file), {action: 'delete' as const, file, toleratesNoop: false}]),
  ],
});

/** What cannot be undone comes last. Descriptors that are the owner's own stay open. */
export const detachPlan = ({device, files}: Situation, closeDevice: boolean): Plan => {
  const held = files.filter((file) => !isMissing(file));
  return {
    device,
    files,
    steps: [
      ...(device === null
        ? []
        : held.map((file) => ({action: 'delete' as const, file, toleratesNoop: true}))),
      ...held.filter((file) => file.given).map((file) => ({action: 'close' as const, file})),
      ...(device !== null && closeDevice ? [{action: 'close-device' as const, fd: device}] : []),
    ],
  };
};

const isMissing = ({fd}: PlannedFile): boolean => fd === null;

const given = (file: PlannedFile): PlanStep[] => (isMissing(file) ? [{action: 'give', file}] : []);

/** A step in words: what it does, and what undoes it when a later one fails (null: nothing has to, or can). */
export interface PlanStepText {
  does: string;
  undo: string | null;
}

export const describePlanStep = (step: PlanStep): PlanStepText => {
  switch (step.action) {
    case 'open':
      return {
        does: `open ${step.file.node.path}${step.file.container === 'type1' ? ' and put it into a type 1 container of its own' : ''}`,
        undo: null,
      };
    case 'create-device':
      return {
        does: `create the kvm-vfio device (KVM_CREATE_DEVICE)${step.stays ? ', which stays until the VM ends' : ''}`,
        undo: step.stays ? null : 'close the kvm-vfio device',
      };
    case 'give':
      return {
        does: `hand the descriptor of ${step.file.name} to the owner`,
        undo: `close the descriptor of ${step.file.name} in the owner`,
      };
    case 'add':
      return {does: `add ${step.file.name} (KVM_DEV_VFIO_FILE_ADD)`, undo: `delete ${step.file.name}`};
    case 'delete':
      return {does: `delete ${step.file.name} (KVM_DEV_VFIO_FILE_DEL)`, undo: `add ${step.file.name} again`};
    case 'close':
      return {does: `close the descriptor of ${step.file.name} in the owner`, undo: null};
    case 'close-device':
      return {does: `close the kvm-vfio device, descriptor ${step.fd}, in the owner`, undo: null};
  }
};
