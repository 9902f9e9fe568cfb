import {accessSync, constants, statSync} from 'node:fs';
import {Attributes} from '../iommu/attributes.js';
import {readHost, type Host} from '../iommu/host.js';
import {readKernelConfig, type KernelConfig} from '../iommu/kernel-config.js';
import {DirectoryTree} from '../linux/directory-tree.js';
import {errnoName, SyscallError} from '../linux/errno.js';
import type {HostTree} from '../linux/host-tree.js';
import {readKernelLog} from '../linux/kernel-log.js';
import {parseKernelRelease, type KernelVersion} from '../linux/kernel-release.js';
import {parseProcessStatus} from '../linux/process-status.js';
import {readDistribution, type Distribution} from './distribution.js';
import {askKvm, type KvmAnswers} from './kvm-answers.js';

/** All that is examined of a machine: its files, what KVM answers, and what the user may. */
export interface Machine {
  tree: HostTree;
  host: Host;
  version: KernelVersion | null;
  config: KernelConfig | null;
  distribution: Distribution;
  user: User;
  /** Null when it could not be asked. */
  kvm: KvmAnswers | null;
  /** What the kernel log has; null when it may not be read. */
  log: string[] | null;
  /** How a node answers to being opened for reading and writing: null for yes, else an error by name. */
  nodeError: (path: string) => string | null;
  /** Who a node belongs to; null when it cannot be seen. */
  nodeOwner: (path: string) => NodeOwner | null;
}

export interface NodeOwner {
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

/** This machine, as its present user finds it. */
export const thisMachine = async (): Promise<Machine> => {
  const tree = new DirectoryTree();
  return machineOf(tree, {user: readUser(tree), kvm: await askKvm(), nodeError, nodeOwner});
};

export const machineOf = (
  tree: HostTree,
  parts: Pick<Machine, 'user' | 'kvm' | 'nodeError' | 'nodeOwner'>,
): Machine => {
  const host = readHost(tree, {details: false, noSnoop: false});
  const {release} = host.kernel;
  return {
    tree,
    host,
    version: release === null ? null : parseKernelRelease(release),
    config: readKernelConfig(new Attributes(tree), release),
    distribution: readDistribution(tree),
    log: readKernelLog(tree),
    ...parts,
  };
};

/** Text of a file, null when it cannot be read. */
export const textOf = ({tree}: Pick<Machine, 'tree'>, path: string, limit?: number): string | null => {
  const text = tree.text(path, limit);
  return text instanceof SyscallError ? null : text;
};

/** Names in a folder, null when it cannot be read. */
export const namesIn = ({tree}: Pick<Machine, 'tree'>, path: string): string[] | null => {
  const names = tree.list(path);
  return names instanceof SyscallError ? null : names;
};

const readUser = (tree: HostTree): User => {
  const machine = {tree};
  const {capEff} = parseProcessStatus(textOf(machine, '/proc/self/status') ?? '');
  const [, limit] = /^Max locked memory +(\S+)/m.exec(textOf(machine, '/proc/self/limits') ?? '') ?? [];
  return {
    uid: process.geteuid?.() ?? -1,
    capabilities: isInitialNamespace(machine) ? (capEff ?? 0n) : 0n,
    memlock: limit === undefined ? null : limit === 'unlimited' ? Infinity : Number(limit),
  };
};

/** The root of another user namespace has capabilities that count only there. Without the file there is but one. */
const isInitialNamespace = (machine: Pick<Machine, 'tree'>): boolean => {
  const map = textOf(machine, '/proc/self/uid_map');
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

const nodeOwner = (path: string): NodeOwner | null => {
  try {
    const {uid, gid, mode} = statSync(path);
    return {uid, gid, mode};
  } catch {
    return null;
  }
};
