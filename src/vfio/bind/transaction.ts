import {Failure} from '../../failure.js';
import {StuckWrite, type AttributeWriter} from '../../linux/attribute-writer.js';
import {Deadline} from '../../linux/deadline.js';
import {SyscallError} from '../../linux/errno.js';
import {holdingSignals} from '../../linux/hold-signals.js';
import type {HostTree} from '../../host/tree.js';
import {readGroupNodes} from '../group-node.js';
import {bindingText, readBinding, type Binding} from './binding.js';
import type {Journal, JournalEntry, JournalNode, Observer} from './journal.js';
import type {Nodes} from './node-owner.js';
import {noteIfLong} from './note-if-long.js';
import {explainBindRefusal, type BindRefusal} from './refusal.js';
import {describeDriverStep, reaches, stepsBetween, writeOf, type Goal, type DriverStep} from './steps.js';

/** The machine that a transaction changes. */
export interface BindMachine {
  tree: HostTree;
  writer: AttributeWriter;
  nodes: Nodes;
  journal: Journal;
  /** Receives each change when it has been made. */
  observe: Observer;
  /** Receives one line on what takes long. */
  note: (line: string) => void;
}

/** What each device is to have at the end, by its path. */
export type Goals = ReadonlyMap<string, Goal>;

/** What was known before the first write: by the path of a device. */
export type Before = ReadonlyMap<string, Binding>;

/**
 * Carries out the steps of a journal entry, all or none. The entry is on disk before the first write, each step is read
 * back, and on any failure the steps so far are undone in reverse. At the end all that was changed is compared with its goal: locks
 * keep other kvfios of this mount namespace away, and nothing keeps away udev rules or programs like driverctl.
 *
 * When this returns the entry is still open: the caller closes it ({@link conclude}).
 *
 * @throws {@link Failure}: rolledBack when something had been changed, which is listed; as the step failed when nothing
 * had; timeout when the kernel does not come back from a write
 */
export const runTransaction = (
  machine: BindMachine,
  entry: JournalEntry,
  {steps, before, goals}: {steps: readonly DriverStep[]; before: Before; goals: Goals},
): Promise<void> =>
  holdingSignals(async () => {
    machine.journal.begin(entry);
    const done: DriverStep[] = [];
    for (const step of steps) {
      try {
        await perform(machine, step);
        done.push(step);
      } catch (error) {
        const cause = refusalOf(machine.tree, step, error);
        const stuck = error instanceof StuckWrite && 'device' in step ? step.device.path : null;
        throw await rollBack(machine, entry, {done, step, before, cause, stuck});
      }
    }
    // rules of udev for what was done may undo it
    await machine.nodes.settled(Deadline.after(UDEV_PATIENCE));
    for (const step of lastSteps(done)) {
      const cause = missed(machine, step, goals);
      if (cause !== null) throw await rollBack(machine, entry, {done, step, before, cause, stuck: null});
    }
  });

/** The last step of each device and of each node: what came before it was on the way. */
const lastSteps = (done: readonly DriverStep[]): DriverStep[] => [
  ...new Map(done.map((step) => ['device' in step ? step.device.path : step.node, step])).values(),
];

/** Why what a step led to does not hold any more; null when it does. */
const missed = ({tree, nodes}: BindMachine, step: DriverStep, goals: Goals): BindRefusal | null => {
  if (step.action === 'own') {
    const uid = nodes.owner(step.node)?.uid;
    return uid === step.uid ? null : changedByOthers(`${step.node} belongs to user ${uid ?? 'unknown'}`);
  }
  const goal = goals.get(step.device.path);
  const now = readBinding(tree, step.device);
  // what is gone is shown as such
  if (goal === undefined || now === null || reaches(now, goal)) return null;
  const state = `${step.device.address} has ${bindingText(now)}`;
  return goal === 'any' ? takenAgain(state) : changedByOthers(state);
};

/** Why a device failed for which the kernel was asked to find a driver: VFIO has it again. */
const takenAgain = (state: string): BindRefusal => ({
  code: 'STILL_VFIO',
  kind: 'kernelRefused',
  why: `The kernel accepted every write, and ${state} again: that driver has been given its ids, or another program has given the device back to VFIO.`,
  hint: 'Look at the parameter "ids" in /sys/module/vfio_pci/parameters, at options in /etc/modprobe.d, and for programs that write to new_id or driver_override; "remove_id" of the driver takes ids back.',
});

export const changedByOthers = (state: string): BindRefusal => ({
  code: 'CHANGED_BY_OTHERS',
  kind: 'kernelRefused',
  why: `The kernel accepted every write, and now ${state}: another program has changed it since.`,
  hint: 'Look for udev rules, driverctl ("driverctl list-overrides"), and a kvfio in another mount namespace, whose locks this one does not see.',
});

/**
 * Notes down that a transaction has come to its end.
 *
 * @throws {@link Failure} when that cannot be written: then its entry is open still, and recovery undoes it
 */
export const conclude = (work: () => void): void => {
  try {
    work();
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    const {code, kind, what, why, errno} = error;
    throw new Failure({
      code,
      kind,
      what: `The drivers are changed, but kvfio could not record that: ${what}`,
      why,
      hint: 'Make room there, and run "kvfio unbind --recover", which gives every device its original driver.',
      errno: errno ?? undefined,
      cause: error,
    });
  }
};

/**
 * Does one step and reads back what it did. One that is true already is left out.
 *
 * @throws {@link SyscallError} that the kernel answered, {@link StuckWrite}, or a {@link Failure}
 */
export const perform = async (machine: BindMachine, step: DriverStep): Promise<void> => {
  if (step.action === 'own') {
    await giveNode(machine, step);
    return;
  }
  const write = writeOf(step);
  const now = readBinding(machine.tree, step.device);
  if (now === null) throw gone(step.device.address);
  if (write === null || isDone(step, now)) return;
  await noteIfLong(machine.note, `waiting for the kernel to ${describeDriverStep(step).does}`, () =>
    machine.writer.write(write.path, write.text),
  );
  machine.observe(`write ${write.path}`);
  const then = readBinding(machine.tree, step.device);
  if (then === null) throw gone(step.device.address);
  if (step.action !== 'probe' && !isDone(step, then)) {
    throw new Failure({
      code: 'NOT_SO_AFTERWARDS',
      kind: 'kernelRefused',
      what: `${step.device.address} did not change.`,
      why: `The kernel accepted "${write.text.trim()}" in ${write.path}, but the device has ${bindingText(then)}.`,
      hint: 'Look at the messages of the kernel with dmesg, and for other programs that bind drivers, such as udev rules.',
    });
  }
};

const isDone = (step: Exclude<DriverStep, {action: 'own'}>, now: Binding): boolean => {
  switch (step.action) {
    case 'override':
      return now.override === step.to;
    case 'unbind':
      return now.driver !== step.driver;
    case 'bind':
      return now.driver === step.driver;
    case 'probe':
      return false;
  }
};

const giveNode = async (
  {tree, nodes, observe}: BindMachine,
  step: DriverStep & {action: 'own'},
): Promise<void> => {
  await nodes.settled(Deadline.after(UDEV_PATIENCE));
  const node = readGroupNodes(tree).find(({group}) => group === step.group);
  const owner = node === undefined ? null : nodes.owner(node.path);
  if (node === undefined || owner === null || owner.device !== node.device) {
    throw new Failure({
      code: 'NO_GROUP_NODE',
      kind: 'notFound',
      what: `${step.node} is not there.`,
      why: 'VFIO has a device of the group, but this /dev does not have its node.',
      hint: 'Run kvfio outside of the container, where devtmpfs is mounted at /dev.',
    });
  }
  if (owner.uid === step.uid) return;
  nodes.give(node.path, step.uid);
  observe(`chown ${node.path}`);
};

/** Milliseconds. */
export const UDEV_PATIENCE = 5000;

interface Broken {
  done: readonly DriverStep[];
  /** The one that failed. */
  step: DriverStep;
  before: Before;
  cause: BindRefusal;
  /** The device that the kernel is stuck with. */
  stuck: string | null;
}

const rollBack = async (
  machine: BindMachine,
  entry: JournalEntry,
  {done, step, before, cause, stuck}: Broken,
): Promise<Failure> => {
  const undone: string[] = [];
  const left: string[] = stuck === null ? [] : [`${describeDriverStep(step).does}, which is still under way`];
  const attempt = async (name: string, work: () => Promise<unknown>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      left.push(`${name} (${refusalOf(machine.tree, step, error).why.replace(/\.$/, '')})`);
    }
  };
  await attempt('owners of nodes', () => Promise.resolve(undone.push(...returnNodes(machine, entry, done))));
  const touched = new Map(
    [...done, step].flatMap((each) => ('device' in each ? [[each.device.path, each.device]] : [])),
  );
  for (const device of [...touched.values()].reverse()) {
    const [now, goal] = [readBinding(machine.tree, device), before.get(device.path)];
    // what is gone has nothing to be undone, and what is stuck does not answer
    if (now === null || goal === undefined || device.path === stuck) continue;
    for (const undo of stepsBetween(device, now, goal)) {
      await attempt(describeDriverStep(undo).does, async () => {
        await perform(machine, undo);
        undone.push(describeDriverStep(undo).does);
      });
    }
  }
  if (left.length === 0) machine.journal.remove(entry);
  return failureOf(step, cause, {undone, left});
};

/** Nodes that were there before go back to their owners; the others vanish with the last device. */
const returnNodes = (machine: BindMachine, {nodes}: JournalEntry, done: readonly DriverStep[]): string[] =>
  nodesToReturn(machine, nodes)
    .filter(({path}) => done.some((step) => step.action === 'own' && step.node === path))
    .map((node) => returnNode(machine, node));

/** Nodes that still exist and have another owner than before. */
export const nodesToReturn = (
  {nodes}: Pick<BindMachine, 'nodes'>,
  owners: readonly JournalNode[],
): JournalNode[] =>
  owners.filter(({path, device, uid}) => {
    const now = nodes.owner(path);
    return now !== null && now.device === device && now.uid !== uid;
  });

/**
 * @returns what was done
 * @throws {@link SyscallError} that the kernel answered
 */
export const returnNode = (
  {nodes, observe}: Pick<BindMachine, 'nodes' | 'observe'>,
  {path, uid}: JournalNode,
): string => {
  nodes.give(path, uid);
  observe(`chown ${path}`);
  return `give ${path} back to user ${uid}`;
};

/** Whatever a step threw, as a reason. Bugs pass through. */
export const refusalOf = (tree: HostTree, step: DriverStep, error: unknown): BindRefusal => {
  if (error instanceof SyscallError) return explainBindRefusal(tree, step, error);
  if (error instanceof Failure) {
    const {code, kind, why, hint, errno} = error;
    return {code, kind, why, hint, errno: errno ?? undefined};
  }
  if (!(error instanceof StuckWrite)) throw error;
  return {
    code: 'KERNEL_STUCK',
    kind: 'timeout',
    why: `The kernel has not come back from the write to ${error.path} for ${error.seconds} s: its driver does not let go of the device. Process ${error.pid} waits for it and cannot be ended.`,
    hint: `End what uses the device (dmesg may name it). When process ${error.pid} is gone, run "kvfio unbind --recover".`,
  };
};

const failureOf = (
  step: DriverStep,
  cause: BindRefusal,
  {undone, left}: {undone: string[]; left: string[]},
): Failure => {
  const what = `It was not possible to ${describeDriverStep(step).does}.`;
  const list = undone.length === 0 ? '' : `\nUndone: ${undone.join('; ')}.`;
  if (left.length > 0) {
    return new Failure({
      ...cause,
      code: cause.kind === 'timeout' ? cause.code : 'ROLLBACK_INCOMPLETE',
      what: `${what} Not everything is as it was before.`,
      why: `${cause.why}\nLeft: ${left.join('; ')}.${list}`,
      hint: cause.kind === 'timeout' ? cause.hint : `${cause.hint} Then run "kvfio unbind --recover".`,
    });
  }
  if (undone.length === 0) return new Failure({...cause, what});
  return new Failure({
    ...cause,
    kind: 'rolledBack',
    what: `${what} All is as it was before.`,
    why: `${cause.why}${list}`,
  });
};

const gone = (address: string): Failure =>
  new Failure({
    code: 'DEVICE_GONE',
    kind: 'notFound',
    what: `${address} is gone.`,
    why: `${address} has left the machine meanwhile, or another device is in its place.`,
    hint: 'Run "kvfio groups" to see the devices there are.',
  });
