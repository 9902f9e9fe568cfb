import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {Failure} from '../failure.js';
import {groupBy} from '../group-by.js';
import {VFIO_DRIVER} from '../iommu/device.js';
import {parsePciAddress} from '../pci/address.js';
import {bindDevices, type BindOptions} from '../vfio/bind/bind.js';
import type {BindDocument, BoundDevice} from '../vfio/bind/bind-document.js';
import {journalledNode} from '../vfio/bind/entry.js';
import type {JournalNode} from '../vfio/bind/journal.js';
import {hostNodes} from '../vfio/bind/node-owner.js';
import {hostSetting} from '../vfio/bind/setting.js';
import {unbindDevices} from '../vfio/bind/unbind.js';
import type {RunDocument, VmmEnd} from './run-document.js';
import {vmmArguments, withArguments, type VmmName} from './vmm-arguments.js';

/** The user whom a VMM is to run as. */
export interface VmmUser {
  name: string;
  uid: number;
  gid: number;
}

export interface RunOptions extends Omit<BindOptions, 'owner' | 'setting'> {
  groups: readonly number[];
  vmm: VmmName;
  /** The VMM, by its path, and its own arguments. */
  command: readonly string[];
  /** Null: the user of kvfio. */
  user: VmmUser | null;
  /** Leave devices bound in the end. */
  keep: boolean;
  /** Descriptor that the VMM gets as stdout. */
  stdout: number;
  signals: ForwardedSignals;
}

/** The signals that ask kvfio for an end, which it passes on to the VMM. */
export interface ForwardedSignals {
  /** Whether one has come. */
  readonly aborted: boolean;
  /** Has each that comes from now on passed on. */
  onSignal: (pass: (signal: NodeJS.Signals) => void) => void;
}

/**
 * Binds groups, runs a VMM with their devices until it ends, and gives back what it bound.
 *
 * If kvfio is killed, the VMM runs on with its devices, and `kvfio unbind` gives them back later.
 *
 * @throws {@link Failure} as bindDevices, and for a VMM that does not start
 */
export const runVmm = async (options: RunOptions): Promise<RunDocument> => {
  const {groups, user, dryRun, keep, signals, onNote} = options;
  const {tree, nodes} = hostSetting();
  const owners = groups.flatMap((group) => journalledNode(tree, nodes, group));
  const bind = await bindDevices(
    {groups, devices: []},
    {...options, owner: user === null ? null : {uid: user.uid, name: user.name}},
  );
  const command = withArguments(options.command, vmmArguments(options.vmm, devicesOf(bind)));
  const document: RunDocument = {
    ...{schemaVersion: 1, dryRun, command, user: user?.name ?? null, bind, end: null, unbind: [], kept: []},
  };
  if (dryRun) return document;
  for (const {address, before, after} of boundNow(bind))
    onNote(`${address}: ${before.driver ?? 'no driver'} -> ${after.driver ?? 'no driver'}`);
  try {
    if (!signals.aborted) document.end = await endOf(command, options);
  } finally {
    // also when the VMM could not be started
    if (!keep) {
      await giveBack(document, options);
      if (user !== null) takeNodesBack(owners, user.uid);
    }
  }
  return document;
};

/** The devices that VFIO has now, or would have. */
const devicesOf = ({devices}: BindDocument): string[] =>
  devices
    .filter(
      ({address, after: {driver}}) => parsePciAddress(address) !== null && VFIO_DRIVER.test(driver ?? ''),
    )
    .map(({address}) => address);

const boundNow = ({devices}: BindDocument): BoundDevice[] =>
  devices.filter(({outcome}) => outcome === 'changed');

const endOf = async (
  command: readonly string[],
  {user, stdout, signals, onNote}: Pick<RunOptions, 'user' | 'stdout' | 'signals' | 'onNote'>,
): Promise<VmmEnd> => {
  const [program = '', ...args] = [...(user === null ? [] : asUser(user)), ...command];
  const begin = performance.now();
  const child = spawn(program, args, {stdio: ['inherit', stdout, 'inherit']});
  signals.onSignal((signal) => child.kill(signal));
  const [exitCode, signal] = await once(child, 'exit').then(
    (answer) => answer as [number | null, NodeJS.Signals | null],
    (error: unknown) => {
      throw notStarted(program, error as NodeJS.ErrnoException);
    },
  );
  const seconds = Math.round((performance.now() - begin) / 100) / 10;
  onNote(`the VMM ended with ${signal ?? exitCode ?? 'nothing'} after ${seconds} s`);
  return {exitCode, signal, seconds};
};

const notStarted = (program: string, error: NodeJS.ErrnoException): Failure =>
  new Failure({
    code: 'VMM_NOT_STARTED',
    kind: 'kernelRefused',
    what: `${program} did not start.`,
    why: `The kernel refused to execute it (${error.code ?? error.message}).`,
    hint: 'Run the same command line without kvfio to see what is wrong with it.',
    errno: error.code,
  });

/** Programs of util-linux that make a process another user's. */
export const HELPERS = ['prlimit', 'setpriv'] as const;

/**
 * VFIO pins all memory of the guest, of which an ordinary user may have little (RLIMIT_MEMLOCK). The rest is taken away: root's
 * environment, capabilities, and the ways to get some.
 */
const asUser = ({uid, gid}: VmmUser): string[] => [
  ...[HELPERS[0], '--memlock=unlimited'],
  ...[HELPERS[1], `--reuid=${uid}`, `--regid=${gid}`, '--init-groups', '--reset-env'],
  ...['--inh-caps=-all', '--bounding-set=-all', '--no-new-privs', '--'],
];

/** Group by group, as a process that the VMM left behind may hold one of them. What goes wrong is noted in the document. */
const giveBack = async (document: RunDocument, options: RunOptions): Promise<void> => {
  for (const [group, bound] of groupBy(boundNow(document.bind), (device) => device.group)) {
    const devices = bound.map(({address}) => address);
    try {
      document.unbind.push(
        await unbindDevices({groups: [], devices}, {...options, dryRun: false, force: []}),
      );
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      document.kept.push({group, devices, code: error.code, message: `${error.message} ${error.hint}`});
    }
  }
};

/** Of groups that VFIO had before and still has: their nodes go back to whom they belonged to. */
const takeNodesBack = (owners: readonly JournalNode[], user: number): void => {
  for (const {path, device, uid} of owners) {
    const now = hostNodes.owner(path);
    if (now?.device === device && now.uid === user && uid !== user) hostNodes.give(path, uid);
  }
};
