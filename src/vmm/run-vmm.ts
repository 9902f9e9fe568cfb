import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {VFIO_DRIVER} from '../iommu/device.js';
import {parsePciAddress} from '../pci/address.js';
import {bindDevices, type BindOptions} from '../vfio/bind/bind.js';
import type {BindDocument, BoundDevice, UnbindDocument} from '../vfio/bind/bind-document.js';
import {unbindDevices} from '../vfio/bind/unbind.js';
import type {RunDocument, VmmEnd} from './run-document.js';
import {vmmArguments, withArguments, type VmmName} from './vmm-arguments.js';

/** The user whom a VMM is to run as. */
export interface VmmUser {
  name: string;
  uid: number;
  gid: number;
  /** Whether the user database has it, and so its further groups. */
  known: boolean;
}

export interface RunOptions extends Omit<BindOptions, 'owner' | 'setting'> {
  groups: readonly number[];
  vmm: VmmName;
  /** The VMM and its own arguments. */
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
 * @throws {@link Failure} as bindDevices and unbindDevices
 */
export const runVmm = async (options: RunOptions): Promise<RunDocument> => {
  const {groups, user, dryRun, keep, signals} = options;
  const bind = await bindDevices(
    {groups, devices: []},
    {...options, owner: user === null ? null : {uid: user.uid, name: user.name}},
  );
  const command = withArguments(options.command, vmmArguments(options.vmm, devicesOf(bind)));
  const document: RunDocument = {
    ...{schemaVersion: 1, dryRun, command, user: user?.name ?? null, bind, end: null, unbind: null},
  };
  if (dryRun) return document;
  const {onNote} = options;
  for (const {address, before, after} of boundNow(bind))
    onNote(`${address}: ${before.driver ?? 'no driver'} -> ${after.driver ?? 'no driver'}`);
  let end: VmmEnd | null = null;
  try {
    if (!signals.aborted) end = await endOf(command, options);
  } finally {
    // also when the VMM could not be started
    if (!keep) document.unbind = await giveBack(bind, options);
  }
  return {...document, end};
};

/** The devices that VFIO has now, or would have. */
const devicesOf = ({devices}: BindDocument): string[] =>
  devices
    .filter(
      ({address, after: {driver}}) => parsePciAddress(address) !== null && VFIO_DRIVER.test(driver ?? ''),
    )
    .map(({address}) => address);

const endOf = async (
  command: readonly string[],
  {user, stdout, signals, onNote}: Pick<RunOptions, 'user' | 'stdout' | 'signals' | 'onNote'>,
): Promise<VmmEnd> => {
  const [program = '', ...args] = [...(user === null ? [] : asUser(user)), ...command];
  const begin = performance.now();
  const child = spawn(program, args, {stdio: ['inherit', stdout, 'inherit']});
  signals.onSignal((signal) => child.kill(signal));
  const [exitCode, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
  const seconds = Math.round((performance.now() - begin) / 100) / 10;
  onNote(`the VMM ended with ${signal ?? exitCode ?? 'nothing'} after ${seconds} s`);
  return {exitCode, signal, seconds};
};

const boundNow = ({devices}: BindDocument): BoundDevice[] =>
  devices.filter(({outcome}) => outcome === 'changed');

/** Programs of util-linux that make a process another user's. */
export const HELPERS = ['prlimit', 'setpriv'] as const;

/** VFIO pins all memory of the guest, of which an ordinary user may have little (RLIMIT_MEMLOCK). */
const asUser = ({uid, gid, known}: VmmUser): string[] => [
  ...[HELPERS[0], '--memlock=unlimited'],
  ...[HELPERS[1], `--reuid=${uid}`, `--regid=${gid}`, known ? '--init-groups' : '--clear-groups'],
  ...['--inh-caps=-all', '--'],
];

const giveBack = async (bind: BindDocument, options: RunOptions): Promise<UnbindDocument | null> => {
  const bound = boundNow(bind);
  if (bound.length === 0) return null;
  const devices = bound.map(({address}) => address);
  return unbindDevices({groups: [], devices}, {...options, dryRun: false, force: []});
};
