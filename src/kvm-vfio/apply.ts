import {Failure} from '../failure.js';
import {capital} from '../words.js';
import type {Descriptor} from '../linux/descriptor.js';
import {SyscallError} from '../linux/errno.js';
import {
  KVM_DEV_TYPE_VFIO,
  KVM_DEV_VFIO_FILE,
  KVM_DEV_VFIO_FILE_ADD,
  KVM_DEV_VFIO_FILE_DEL,
} from '../linux/ioctl.js';
import type {Owner} from '../owner/owner.js';
import {describePlanStep, type Plan, type PlannedFile, type PlanStep} from './plan.js';
import {explainDeviceRefusal, type DeviceRefusal} from './refusal.js';
import {holdingSignalsSync} from '../linux/hold-signals.js';

/** What became of a file: `already` and `absent` are the kernel's EEXIST and ENOENT. */
export type FileOutcome = 'added' | 'already' | 'deleted' | 'absent';

export interface Outcome {
  /** Descriptor of the device in the owner; null when there is none now. */
  device: number | null;
  created: boolean;
  closed: boolean;
  /** Whether anything is other than before. */
  changed: boolean;
  /** What became of each file, by its name. Files that no step was about are missing. */
  files: Map<string, {fd: number | null; outcome: FileOutcome}>;
}

export interface ApplyOptions {
  owner: Owner;
  /** Number of the VM's descriptor in the owner. */
  vmFd: number;
  /** Makes sure, right before a step, that a number is still that of the file that the plan means. */
  check?: (fd: number) => void;
  /** Opens what the owner has not. */
  open: (file: PlannedFile) => Descriptor;
}

/**
 * Executes a plan wholly or not at all: when a step fails, those before it are undone in reverse. SIGINT, SIGTERM and
 * SIGHUP do not come between.
 *
 * @throws {@link Failure}: kernelRefused when nothing had been changed, rolledBack when something had, which is listed
 */
export const apply = (plan: Plan, {owner, vmFd, check, open}: ApplyOptions): Outcome => {
  const opened = new Map<string, Descriptor>();
  try {
    for (const step of plan.steps) if (step.action === 'open') opened.set(step.file.name, open(step.file));
    const steps = plan.steps.filter((step) => step.action !== 'open');
    const run = new Run(plan, {owner, vmFd, check, opened});
    if (steps.length > 0) {
      // a first call takes much longer, and the owner must not wait for it
      if (owner.way === 'inject')
        new Run(plan, {owner: NOBODY, vmFd, check: undefined, opened}).execute(steps);
      holdingSignalsSync(() => {
        owner.together(() => {
          run.execute(steps);
        });
      });
    }
    return run.outcome();
  } finally {
    for (const descriptor of opened.values()) descriptor[Symbol.dispose]();
  }
};

/** An owner that executes nothing. */
const NOBODY: Owner = {
  pid: 0,
  way: 'direct',
  createDevice: () => 0,
  setDeviceAttr: () => undefined,
  giveDescriptor: () => 0,
  closeDescriptor: () => undefined,
  takeDescriptor: () => {
    throw new Error('nobody has descriptors');
  },
  together: (work) => work(),
  [Symbol.dispose]: () => undefined,
};

interface Undo {
  step: PlanStep;
  text: string;
  run: () => void;
}

interface RunOptions {
  owner: Owner;
  vmFd: number;
  check: ((fd: number) => void) | undefined;
  opened: ReadonlyMap<string, Descriptor>;
}

/** One execution of a plan. */
class Run {
  readonly #owner: Owner;
  readonly #vmFd: number;
  readonly #check: (fd: number) => void;
  readonly #opened: ReadonlyMap<string, Descriptor>;
  readonly #undos: Undo[] = [];
  readonly #fds: Map<string, number | null>;
  readonly #outcomes = new Map<string, FileOutcome>();
  #device: number | null;
  #created = false;
  /** It was created and cannot be undone. */
  #stays = false;
  #closed = false;
  #changed = false;

  constructor(plan: Plan, {owner, vmFd, check = () => undefined, opened}: RunOptions) {
    this.#owner = owner;
    this.#vmFd = vmFd;
    this.#check = check;
    this.#opened = opened;
    this.#device = plan.device;
    this.#fds = new Map(plan.files.map(({name, fd}) => [name, fd]));
  }

  execute(steps: readonly PlanStep[]): void {
    for (const step of steps) {
      try {
        this.#perform(step);
      } catch (error) {
        if (!(error instanceof SyscallError || error instanceof Failure)) throw error;
        throw this.#rollBack(step, error);
      }
    }
  }

  outcome(): Outcome {
    return {
      device: this.#device,
      created: this.#created,
      closed: this.#closed,
      changed: this.#changed,
      files: new Map(
        [...this.#outcomes].map(([name, outcome]) => [name, {fd: this.#fds.get(name) ?? null, outcome}]),
      ),
    };
  }

  #perform(step: PlanStep): void {
    const owner = this.#owner;
    switch (step.action) {
      case 'open':
        return;
      case 'create-device': {
        const device = owner.createDevice(this.#vmFd, KVM_DEV_TYPE_VFIO);
        if (!step.stays)
          this.#did(step, () => {
            owner.closeDescriptor(device);
          });
        this.#device = device;
        this.#stays = step.stays;
        this.#changed = true;
        this.#created = true;
        return;
      }
      case 'give': {
        const descriptor = this.#opened.get(step.file.name);
        if (descriptor === undefined) throw new Error(`${step.file.name} was not opened`);
        const fd = owner.giveDescriptor(descriptor);
        this.#did(step, () => {
          owner.closeDescriptor(fd);
        });
        this.#fds.set(step.file.name, fd);
        return;
      }
      case 'add':
        this.#set(step, 'EEXIST', 'added', 'already');
        return;
      case 'delete':
        this.#set(step, 'ENOENT', 'deleted', 'absent');
        return;
      case 'close':
        this.#close(this.#fdOf(step.file));
        this.#fds.set(step.file.name, null);
        this.#changed = true;
        return;
      case 'close-device':
        this.#close(step.fd);
        this.#device = null;
        this.#closed = true;
        this.#changed = true;
        return;
    }
  }

  /** ADD or DEL, with one answer that means that there is nothing to do. */
  #set(
    step: PlanStep & {action: 'add' | 'delete'},
    settled: string,
    done: FileOutcome,
    nothing: FileOutcome,
  ): void {
    const {file, toleratesNoop, action} = step;
    const device = this.#device;
    if (device === null) throw new Error('there is no kvm-vfio device');
    const fd = this.#fdOf(file);
    const [attr, reverse] =
      action === 'add'
        ? [KVM_DEV_VFIO_FILE_ADD, KVM_DEV_VFIO_FILE_DEL]
        : [KVM_DEV_VFIO_FILE_DEL, KVM_DEV_VFIO_FILE_ADD];
    try {
      this.#setAttr(device, attr, fd);
    } catch (error) {
      if (!(toleratesNoop && error instanceof SyscallError && error.code === settled)) throw error;
      this.#outcomes.set(file.name, nothing);
      return;
    }
    this.#did(step, () => {
      this.#setAttr(device, reverse, fd);
    });
    this.#outcomes.set(file.name, done);
  }

  #setAttr(device: number, attr: number, fd: number): void {
    for (const each of [device, fd]) this.#check(each);
    this.#owner.setDeviceAttr(device, KVM_DEV_VFIO_FILE, attr, fd);
  }

  #close(fd: number): void {
    this.#check(fd);
    this.#owner.closeDescriptor(fd);
  }

  #did(step: PlanStep, run: () => void): void {
    this.#undos.push({step, text: describePlanStep(step).undo ?? '', run});
    this.#changed = true;
  }

  #fdOf({name}: PlannedFile): number {
    const fd = this.#fds.get(name);
    if (fd === undefined || fd === null) throw new Error(`the owner has no descriptor of ${name}`);
    return fd;
  }

  #rollBack(step: PlanStep, error: SyscallError | Failure): Failure {
    const undone: string[] = [];
    const left: string[] = [];
    for (const {step: done, text, run} of this.#undos.reverse()) {
      try {
        run();
        // nobody saw a descriptor that came and went
        if (done.action !== 'give') undone.push(text);
      } catch (refusal) {
        if (!(refusal instanceof SyscallError || refusal instanceof Failure)) throw refusal;
        left.push(text);
      }
    }
    const reason = this.#reason(step, error);
    if (reason.code === ANSWER_UNREAD) left.push(`see whether this was done: ${describePlanStep(step).does}`);
    return failureOf(step, reason, {
      undone,
      left,
      stays: this.#stays ? this.#device : null,
      cause: error,
    });
  }

  #reason(step: PlanStep, error: SyscallError | Failure): DeviceRefusal {
    return error instanceof SyscallError
      ? explainDeviceRefusal(step.action, error, this.#owner.way)
      : refusalOf(error);
  }
}

/** A step that the kernel refuses before anything is changed. */
export const refused = (step: PlanStep, error: SyscallError, way: Owner['way']): Failure =>
  failureOf(step, explainDeviceRefusal(step.action, error, way), {
    undone: [],
    left: [],
    stays: null,
    cause: error,
  });

const refusalOf = ({code, kind, why, hint, errno}: Failure): DeviceRefusal => ({
  code,
  kind,
  why,
  hint,
  errno: errno ?? undefined,
});

const failureOf = (
  step: PlanStep,
  refusal: DeviceRefusal,
  {undone, left, stays, cause}: {undone: string[]; left: string[]; stays: number | null; cause: unknown},
): Failure => {
  const notDone = NOT_DONE[step.action](step);
  // what has begun in the owner is carried out when kvfio has let go of it
  const what =
    refusal.code === 'OWNER_NO_ANSWER' ? `${notDone.slice(0, -1)} yet, and may still be.` : notDone;
  const undoneInWords = undone.length === 0 ? '' : ` Undone: ${undone.join('; ')}.`;
  const staysInWords =
    stays === null
      ? ''
      : ` The new kvm-vfio device stays open in the owner, descriptor ${stays}: a VM of this kernel can have no other one, even after it is closed.`;
  if (left.length > 0) {
    return new Failure({
      ...refusal,
      code: 'ROLLBACK_INCOMPLETE',
      what:
        refusal.code === ANSWER_UNREAD ? UNREAD : `${what} What had been done before could not be undone.`,
      why: `${refusal.why} Left to do: ${left.join('; ')}.${undoneInWords}${staysInWords}`,
      hint: `Look at what is left with "kvfio status". ${refusal.hint}`,
      cause,
    });
  }
  if (stays !== null) {
    return new Failure({
      ...refusal,
      kind: 'rolledBack',
      what: `${what} All but the kvm-vfio device is as it was before.`,
      why: `${refusal.why}${undoneInWords}${staysInWords}`,
      hint: `${refusal.hint} "kvfio attach" uses the device that stays.`,
      cause,
    });
  }
  if (undone.length === 0) return new Failure({...refusal, what, cause});
  return new Failure({
    ...refusal,
    kind: 'rolledBack',
    what: `${what} All is as it was before.`,
    why: `${refusal.why}${undoneInWords}`,
    cause,
  });
};

/** Code of the failure of an owner that has made a call, whose answer kvfio could not read. */
const ANSWER_UNREAD = 'OWNER_ANSWER_UNREAD';

const UNREAD = 'kvfio does not know what its last call in the owner did.';

const NOT_DONE: Record<PlanStep['action'], (step: PlanStep) => string> = {
  open: (step) => `${subject(step)} was not opened.`,
  'create-device': () => 'The kvm-vfio device was not created.',
  give: (step) => `The descriptor of ${subject(step)} was not handed over.`,
  add: (step) => `${capital(subject(step))} was not added.`,
  delete: (step) => `${capital(subject(step))} was not deleted.`,
  close: (step) => `The descriptor of ${subject(step)} was not closed in the owner.`,
  'close-device': () => 'The kvm-vfio device was not closed.',
};

const subject = (step: PlanStep): string => ('file' in step ? step.file.name : '');
