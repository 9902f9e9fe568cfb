import {Failure} from '../../failure.js';
import type {Host} from '../../iommu/host.js';
import {Deadline} from '../../linux/deadline.js';
import {holdingSignals} from '../../linux/hold-signals.js';
import {SyscallError} from '../../linux/errno.js';
import {readGroupNodes} from '../group-node.js';
import type {DriverOptions} from './bind.js';
import type {UnbindDocument} from './bind-document.js';
import {readBinding} from './binding.js';
import {changeDocument, type DriverChange} from './change-document.js';
import {bootOf} from './entry.js';
import {Journal, type JournalDevice, type JournalEntry, type JournalNode} from './journal.js';
import {whileLocked} from './locked.js';
import type {PlannedDevice} from './plan.js';
import {judge, readBindHost, refuseBind} from './judge.js';
import {hostSetting, type BindSetting} from './setting.js';
import {describeDriverStep, DRIVERS, stepsBetween, type DriverStep} from './steps.js';
import {
  nodesToReturn,
  perform,
  refusalOf,
  returnNode,
  UDEV_PATIENCE,
  type BindMachine,
} from './transaction.js';

/**
 * Gives every device of work that was cut short its original driver and override, wherever that was. What a kvfio still
 * works at is waited for, and then needs nothing: only work is undone all of whose devices are locked.
 *
 * @throws {@link Failure}: permission, refused by a guard, timeout; kernelRefused with what could not be recovered, which
 * stays in the journal
 */
export const recoverDevices = async (options: DriverOptions): Promise<UnbindDocument> => {
  const {setting = hostSetting(), timeout, dryRun} = options;
  const journal = new Journal(setting.folder);
  const entries = journal.entries([]);
  const answer = (change: DriverChange, warnings: UnbindDocument['warnings'] = []): UnbindDocument => {
    const document = changeDocument(setting, change);
    return {
      ...document,
      command: 'unbind',
      recover: true,
      selected: [],
      warnings: [
        ...document.warnings,
        ...warnings,
        ...journal.damaged().map(({code, what, why, hint}) => ({code, message: `${what} ${why} ${hint}`})),
      ],
    };
  };
  if (dryRun || !entries.some(isOpen)) {
    const host = readBindHost(setting);
    return answer(recoverChange(setting, host, entries, options), staleWarnings(setting, entries));
  }
  // what is begun while the locks are waited for is not covered by them: it is somebody's at work, or was cut short too
  const deadline = Deadline.after(timeout * 1000);
  for (let open = entries.filter(isOpen); ;) {
    const locked = new Set(open.flatMap(({members}) => members));
    const done = await whileLocked(setting, [...locked], options, async (machine) => {
      const all = machine.journal.entries([]);
      const covered = all.filter(
        (entry) => !isOpen(entry) || entry.members.every((member) => locked.has(member)),
      );
      if (covered.length < all.length && !deadline.passed) {
        open = all.filter(isOpen);
        return null;
      }
      const host = readBindHost(setting);
      const change = recoverChange(setting, host, covered, options);
      refuseBind(change.refused, 'The devices were not recovered.');
      for (const name of change.modules) {
        await setting.loadModule(name);
        options.onNote(`loaded the module ${name}, which stays loaded`);
      }
      await holdingSignals(() => recover(machine, covered));
      return answer(change, staleWarnings(setting, covered));
    });
    if (done !== null) return done;
  }
};

const isOpen = ({state}: JournalEntry): boolean => state === 'open';

/** Newest first, each entry from its end, as it would have been rolled back. */
const recover = async (machine: BindMachine, entries: readonly JournalEntry[]): Promise<void> => {
  const boot = bootOf(machine.tree);
  const left: string[] = [];
  let errno: string | undefined;
  for (const entry of entries.toReversed()) {
    if (entry.boot !== boot) {
      machine.journal.remove(entry);
      continue;
    }
    if (!isOpen(entry)) continue;
    const before = left.length;
    const failed = (step: DriverStep, error: unknown): void => {
      const refusal = refusalOf(machine.tree, step, error);
      errno ??= refusal.errno;
      left.push(`${describeDriverStep(step).does} (${refusal.why.replace(/\.$/, '')})`);
    };
    for (const node of nodesToReturn(machine, entry.nodes)) {
      try {
        returnNode(machine, node);
      } catch (error) {
        failed(ownStep(machine, node), error);
      }
    }
    for (const device of entry.devices.toReversed()) {
      for (const step of stepsTo(machine, device)) {
        try {
          await perform(machine, step);
        } catch (error) {
          failed(step, error);
          break;
        }
      }
    }
    await machine.nodes.settled(Deadline.after(UDEV_PATIENCE));
    for (const step of left.length > before
      ? []
      : entry.devices.flatMap((device) => stepsTo(machine, device)))
      left.push(`${describeDriverStep(step).does} (another program has undone it)`);
    if (left.length > before) continue;
    if (entry.command === 'unbind') machine.journal.end(entry, 'removed');
    else machine.journal.remove(entry);
  }
  if (left.length === 0) return;
  throw new Failure({
    code: 'NOT_RECOVERED',
    kind: 'kernelRefused',
    what: 'Not every device has its original driver again.',
    why: `Left: ${left.join('; ')}.`,
    hint: 'Remove the cause, and run "kvfio unbind --recover" again.',
    errno,
  });
};

/** Steps to a device's original binding; none for a device that is gone: the next one in its place starts afresh. */
const stepsTo = ({tree}: Pick<BindMachine, 'tree'>, device: JournalDevice): DriverStep[] => {
  const now = readBinding(tree, device);
  return now === null ? [] : stepsBetween(device, now, device.original);
};

const ownStep = ({tree}: Pick<BindMachine, 'tree'>, {path, uid}: JournalNode): DriverStep => ({
  action: 'own',
  node: path,
  group: readGroupNodes(tree).find((node) => node.path === path)?.group ?? -1,
  uid,
  user: `user ${uid}`,
});

const recoverChange = (
  setting: BindSetting,
  host: Host,
  entries: readonly JournalEntry[],
  {force, dryRun}: DriverOptions,
): DriverChange => {
  const {tree} = setting;
  const boot = bootOf(tree);
  const open = entries.filter((entry) => isOpen(entry) && entry.boot === boot).toReversed();
  const devices = open.flatMap((entry) => entry.devices.toReversed());
  const plan = devices.flatMap((device) => planned(setting, host, device));
  return {
    plan,
    steps: [
      ...open.flatMap((entry) => nodesToReturn(setting, entry.nodes)).map((node) => ownStep(setting, node)),
      ...devices.flatMap((device) => stepsTo({tree}, device)),
    ],
    modules: [
      ...new Set(
        devices.flatMap(({module, original: {driver}}) =>
          module !== null && driver !== null && tree.list(`${DRIVERS}/${driver}`) instanceof SyscallError
            ? [module]
            : [],
        ),
      ),
    ],
    dryRun,
    ...judge(
      setting,
      host,
      plan.filter(({before}) => before.driver !== null),
      {guards: ['held'], force, dryRun},
    ),
  };
};

const planned = ({tree}: BindSetting, host: Host, entry: JournalDevice): PlannedDevice[] => {
  const before = readBinding(tree, entry);
  const group = host.groups.find(({devices}) => devices.some(({path}) => path === entry.path)) ?? null;
  const device = [...(group?.devices ?? []), ...host.ungrouped].find(({path}) => path === entry.path);
  if (before === null || device === undefined) return [];
  const steps = stepsBetween(entry, before, entry.original);
  return [
    {
      member: {device, group, named: true},
      target: entry,
      before,
      goal: steps.length === 0 ? null : entry.original,
      reason: steps.length === 0 ? 'it is as it was' : null,
    },
  ];
};

/** What a boot has ended by itself. */
const staleWarnings = ({tree}: BindSetting, entries: readonly JournalEntry[]): UnbindDocument['warnings'] => {
  const boot = bootOf(tree);
  const stale = entries.filter((entry) => entry.boot !== boot && isOpen(entry));
  return stale.map(({members}) => ({
    code: 'FROM_ANOTHER_BOOT',
    message: `work on ${members.join(', ')} was cut short before the machine was booted, which has undone it`,
  }));
};
