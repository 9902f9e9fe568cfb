import {accessSync, constants, statSync} from 'node:fs';
import {Attributes} from '../host/attributes.js';
import {readHost, type Host} from '../iommu/host.js';
import {readKernelConfig, type KernelConfig} from '../host/kernel-config.js';
import {Failure} from '../failure.js';
import {CaptureTree} from '../host/capture.js';
import {errnoName, SyscallError} from '../linux/errno.js';
import type {HostTree} from '../host/tree.js';
import {readKernelLog} from '../host/kernel-log.js';
import {parseKernelRelease, type KernelVersion} from '../host/kernel-release.js';
import {parseProcessStatus} from '../linux/proc/status.js';
import type {Examined} from '../vfio/eligibility/check.js';
import {examine} from '../vfio/eligibility/examined.js';
import {readDistribution, type Distribution} from './distribution.js';
import {askKvm, type KvmAnswers} from './kvm-answers.js';

/** All that is examined of a machine. */
export interface Machine {
  tree: HostTree;
  host: Host;
  /** What the checks of eligibility need. */
  examined: Examined;
  version: KernelVersion | null;
  config: KernelConfig | null;
  distribution: Distribution;
  /** What the kernel log has; null when it may not be read. */
  log: readonly string[] | null;
  /** Null of a machine of which there are only files, as in a capture. */
  live: Live | null;
}

/** What only the machine itself answers, and to the present user. */
export interface Live {
  user: User;
  /** Null when it could not be asked. */
  kvm: KvmAnswers | null;
  /** How a node answers to being opened for reading and writing: null for yes, else an error by name. */
  nodeError: (path: string) => string | null;
  /** The user and group of a node; null when kvfio cannot see them. */
  nodeOwner: (path: string) => NodeAccess | null;
}

export interface NodeAccess {
  uid: number;
  gid: number;
  mode: number;
}

export interface User {
  /** Effective. */
  uid: number;
  /** Effective capabilities in the initial user namespace, N at bit N. */
  capabilities: bigint;
  /** Bytes that a process may lock into memory; Infinity without a limit, null when unknown. */
  memlock: number | null;
}

/** CAP_… of include/uapi/linux/capability.h. */
const CAPABILITIES = {CAP_IPC_LOCK: 14n, CAP_SYS_MODULE: 16n, CAP_SYS_PTRACE: 19n} as const;

export const hasCapability = ({capabilities}: User, name: keyof typeof CAPABILITIES): boolean =>
  ((capabilities >> CAPABILITIES[name]) & 1n) === 1n;

/**
 * Reads a machine; this one as its present user finds it.
 *
 * @param log messages of its kernel, in place of those that it has itself
 * @param scan of the machine, where it has been read already, with the groups' reserved regions
 * @throws {@link Failure} for a capture that lacks what is examined
 */
export const readMachine = async (
  tree: HostTree,
  log: readonly string[] | null = null,
  scan?: Scan,
): Promise<Machine> => {
  if (tree instanceof CaptureTree && !tree.knows(MARK)) throw withoutMark(tree);
  const live =
    tree.origin.kind === 'host' ? {user: readUser(tree), kvm: await askKvm(), nodeError, nodeOwner} : null;
  return machineOf(tree, live, log, scan);
};

export const machineOf = (
  tree: HostTree,
  live: Live | null,
  log: readonly string[] | null = null,
  scan?: Scan,
): Machine => {
  const {host, examined} = scan ?? scanned(tree);
  return {
    tree,
    host,
    examined,
    version: host.kernel.release === null ? null : parseKernelRelease(host.kernel.release),
    config: readKernelConfig(new Attributes(tree), host.kernel.release),
    distribution: readDistribution(tree),
    log: log ?? readKernelLog(tree),
    live,
  };
};

/** The groups of a machine, and what judges them. */
export type Scan = Pick<Machine, 'host' | 'examined'>;

const scanned = (tree: HostTree): Scan => {
  const host = readHost(tree, {details: false, noSnoop: false, regions: true});
  return {host, examined: examine(tree, host)};
};

/** Read whenever a machine is examined, and by nothing else. */
const MARK = '/etc/os-release';

const withoutMark = ({origin}: HostTree): Failure =>
  new Failure({
    code: 'CAPTURE_LACKS_DOCTOR',
    kind: 'cannotDecide',
    what: `${origin.path} cannot be diagnosed.`,
    why: 'An older kvfio took it, which captured only what "kvfio groups" reads.',
    hint: 'Have it taken again with this version of "kvfio snapshot"; "kvfio groups --sysroot" reads this one.',
  });

/** Text of a file, null when it cannot be read. */
export const machineText = ({tree}: Pick<Machine, 'tree'>, path: string, limit?: number): string | null => {
  const text = tree.text(path, limit);
  return text instanceof SyscallError ? null : text;
};

/** Names in a folder, null when it cannot be read. */
export const machineNames = ({tree}: Pick<Machine, 'tree'>, path: string): string[] | null => {
  const names = tree.list(path);
  return names instanceof SyscallError ? null : names;
};

const readUser = (tree: HostTree): User => {
  const machine = {tree};
  const {capEff} = parseProcessStatus(machineText(machine, '/proc/self/status') ?? '');
  const [, limit] = /^Max locked memory +(\S+)/m.exec(machineText(machine, '/proc/self/limits') ?? '') ?? [];
  return {
    uid: process.geteuid?.() ?? -1,
    capabilities: isInitialNamespace(machine) ? (capEff ?? 0n) : 0n,
    memlock: limit === undefined ? null : limit === 'unlimited' ? Infinity : Number(limit),
  };
};

/** The root of another user namespace has capabilities that count only there. Without the file there is but one. */
const isInitialNamespace = (machine: Pick<Machine, 'tree'>): boolean => {
  const map = machineText(machine, '/proc/self/uid_map');
  return map === null || /^\s*0\s+0\s+4294967295\s*$/.test(map);
};

const nodeError = (path: string): string | null => {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return null;
  } catch (error) {
    const {errno} = error as NodeJS.ErrnoException;
    if (errno === undefined) throw error;
    return errnoName(-errno);
  }
};

const nodeOwner = (path: string): NodeAccess | null => {
  try {
    const {uid, gid, mode} = statSync(path);
    return {uid, gid, mode};
  } catch {
    return null;
  }
};
