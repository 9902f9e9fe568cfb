import {setTimeout as sleep} from 'node:timers/promises';
import {Failure} from '../failure.js';
import type {Deadline} from '../linux/deadline.js';
import type {Descriptor} from '../linux/descriptor.js';
import {SyscallError} from '../linux/errno.js';
import {commOf} from '../linux/proc/process.js';
import {AgentClient} from './agent/client.js';
import {findOwners, holdsVm, vmOfProcess, type OwnerCandidate} from '../vm/find-owner.js';
import {InjectedOwner, type InjectOptions} from './inject/injected-owner.js';
import type {Owner, OwnerWay} from './owner.js';
import {receiveVm, type ReceivedVm} from '../vm/receive-vm.js';
import {requireTrustedSocket} from '../vm/socket-trust.js';
import {userOf, vouchesFor, voucherOfPeer, voucherOfProcess, type Voucher} from '../vm/voucher.js';

/** What can be asked for: one way, or the first that can work. */
export const VIAS = ['auto', 'direct', 'agent', 'inject'] as const;
export type Via = (typeof VIAS)[number];

/** Where a VM is to be had: at the socket of its VMM, or in a process that has it. */
export type VmPlace = {socket: string} | {pid: number; vmFd: number | undefined};

export interface ReachOptions {
  via: Via;
  deadline: Deadline;
  /** Milliseconds for one answer of an agent, and for one call that is made in the owner. */
  patience: number;
  /** See {@link InjectOptions}. */
  suspendSeccomp?: boolean | undefined;
  /** Wait for the socket, or for the process's VM, to appear. */
  wait: boolean;
}

/** A VM, and the process that is to execute what is done with it. Nothing has been done to either. */
export interface ReachedVm extends OwnerCandidate, Disposable {
  way: OwnerWay;
  /** Where it was received from; null when it was taken from a process. */
  socket: string | null;
  /** The agent of its owner; null for other ways. */
  agent: AgentClient | null;
  /**
   * Throws unless something may be done with it: see {@link requireTrustedSocket}. Everything below does so by itself; who is to
   * take a turn at the owner asks before.
   */
  checkTrust: () => void;
  /** Several processes have it, and KVM does not say who created it. */
  isUndecided: () => boolean;
  /**
   * Makes sure who the owner is. When it is undecided, each that may be asked makes a request that creates nothing, which
   * KVM refuses to the creator for another reason than to the others. To be called by one kvfio at a time.
   *
   * @throws {@link Failure} as {@link open} does
   */
  confirmOwner: () => void;
  /**
   * Makes its owner usable. The caller disposes of it, before the VM.
   *
   * @throws {@link Failure} when it cannot be made to execute anything; refused when it may belong to a user whose
   * processes the sender of the VM may not have kvfio stop; kernelRefused when none of the processes that have the VM created it
   */
  open: () => Owner;
}

/**
 * Finds a VM and who owns it, and chooses the way.
 *
 * @throws {@link Failure}
 */
export const reachVm = async (place: VmPlace, options: ReachOptions): Promise<ReachedVm> => {
  if (options.via === 'direct') throw notKvfios();
  if ('socket' in place) return received(await receiveVm(place.socket, options), options);
  if (options.via === 'agent') throw noSocket();
  const vm = await waitForVm(place, options);
  try {
    return injected(vm, {voucher: voucherOfProcess(place.pid), socket: null, ...options});
  } catch (error) {
    vm[Symbol.dispose]();
    throw error;
  }
};

const received = (vm: ReceivedVm, options: ReachOptions): ReachedVm => {
  try {
    const byAgent = options.via === 'agent' || (options.via === 'auto' && vm.agent !== null);
    return byAgent
      ? throughAgent(vm, options)
      : injected(vm.vm, {voucher: voucherOfPeer(vm.peer), socket: vm.address, received: vm, ...options});
  } catch (error) {
    vm[Symbol.dispose]();
    throw error;
  }
};

const throughAgent = (vm: ReceivedVm, {patience}: ReachOptions): ReachedVm => {
  const agent = new AgentClient(vm, undefined, patience);
  const {pid} = vm.peer;
  const listener = {pid, comm: commOf(pid), vmFd: agent.vmFd, proven: false};
  // who listens may be a helper of the owner
  const owner = holdsVm(vm.vm, listener) ? listener : (likeliest(vm) ?? listener);
  const client = new AgentClient(vm, owner.pid, patience);
  const checkTrust = (): void => {
    requireTrustedSocket(vm);
  };
  return {
    ...owner,
    vmFd: agent.vmFd,
    way: 'agent',
    socket: vm.address,
    agent: client,
    checkTrust,
    isUndecided: () => false,
    confirmOwner: checkTrust,
    open: () => {
      checkTrust();
      return client;
    },
    [Symbol.dispose]: () => {
      vm[Symbol.dispose]();
    },
  };
};

/** An agent needs no permission to look at processes, so finding its owner may fail. */
const likeliest = (vm: ReceivedVm): OwnerCandidate | null => {
  const voucher = voucherOfPeer(vm.peer);
  try {
    return findOwners(vm.vm, {hint: voucher.pid}).find(({pid}) => vouchesFor(voucher, pid)) ?? null;
  } catch (error) {
    if (error instanceof Failure) return null;
    throw error;
  }
};

interface InjectedPlace {
  voucher: Voucher;
  socket: string | null;
  received?: ReceivedVm;
  patience: number;
  suspendSeccomp?: boolean | undefined;
}

const injected = (
  vm: Descriptor,
  {voucher, socket, received: from, patience, suspendSeccomp = false}: InjectedPlace,
): ReachedVm => {
  const find = (): readonly [OwnerCandidate, ...OwnerCandidate[]] => findOwners(vm, {hint: voucher.pid});
  let candidates = find();
  let isConfirmed = false;
  const checkTrust = (): void => {
    if (from !== undefined) requireTrustedSocket(from);
  };
  const open = (): Owner => {
    checkTrust();
    const {owner, candidate} = openFirst(vm, {candidates, voucher}, {patience, suspendSeccomp});
    candidates = [candidate];
    Object.assign(reached, candidate);
    return owner;
  };
  const reached: ReachedVm = {
    ...candidates[0],
    way: 'inject',
    socket,
    agent: null,
    checkTrust,
    isUndecided: () => candidates.length > 1,
    confirmOwner: () => {
      if (isConfirmed) return;
      // who had it for a moment, such as another kvfio that was at work, may have let go of it
      candidates = find();
      if (candidates.length > 1 || !vouchesFor(voucher, candidates[0].pid)) open()[Symbol.dispose]();
      else Object.assign(reached, candidates[0]);
      isConfirmed = true;
    },
    open,
    [Symbol.dispose]: () => {
      (from ?? vm)[Symbol.dispose]();
    },
  };
  return reached;
};

/** The first candidate that created the VM. When there is only one, what it is asked for shows whether it did. */
const openFirst = (
  vm: Descriptor,
  {candidates, voucher}: {candidates: readonly OwnerCandidate[]; voucher: Voucher},
  options: InjectOptions,
): {owner: InjectedOwner; candidate: OwnerCandidate} => {
  const others: OwnerCandidate[] = [];
  for (const candidate of candidates) {
    const {pid} = candidate;
    const user = userOf(pid);
    if (!vouchesFor(voucher, pid)) {
      others.push(candidate);
      continue;
    }
    // a program that it executes meanwhile may be of another user (set-user-ID)
    const isRight = (): boolean => holdsVm(vm, candidate) && userOf(pid) === user;
    const owner = InjectedOwner.open(pid, {...options, isRight});
    try {
      // from here on the process is held, so it is now that it must be the right one
      if (!isRight()) throw ownerChanged(candidate);
      if (candidates.length === 1 || isCreator(owner, candidate)) return {owner, candidate};
    } catch (error) {
      owner[Symbol.dispose]();
      throw error;
    }
    owner[Symbol.dispose]();
  }
  throw others.length > 0 ? ofAnotherUser(others) : noCreator(candidates);
};

/** No device has this type, so KVM answers the creator ENODEV, and creates nothing. */
const NO_DEVICE_TYPE = 0x7fff_ffff;

const isCreator = (owner: Owner, {vmFd}: OwnerCandidate): boolean => {
  try {
    owner.closeDescriptor(owner.createDevice(vmFd, NO_DEVICE_TYPE));
    return true;
  } catch (error) {
    if (error instanceof SyscallError) return error.code !== 'EIO';
    throw error;
  }
};

const waitForVm = async (
  {pid, vmFd}: {pid: number; vmFd: number | undefined},
  {wait, deadline}: ReachOptions,
): Promise<Descriptor> => {
  for (;;) {
    try {
      return vmOfProcess(pid, vmFd);
    } catch (error) {
      const later = error instanceof Failure && error.code === 'NO_VM_IN_PROCESS' && wait;
      if (!later) throw error;
      if (deadline.passed) throw noVmInTime(error);
    }
    await sleep(deadline.remaining(50));
  }
};

const notKvfios = (): Failure =>
  new Failure({
    code: 'NOT_OWN_VM',
    kind: 'usage',
    what: 'This VM cannot be managed directly.',
    why: 'KVM answers EIO to every process but the one that created the VM, and that is not this kvfio.',
    hint: 'Use --via agent or --via inject, or leave the choice to --via auto.',
  });

const noSocket = (): Failure =>
  new Failure({
    code: 'NO_AGENT',
    kind: 'usage',
    what: 'An agent cannot be reached by a process id.',
    why: 'It answers on the socket that its VM comes from.',
    hint: 'Name that socket with --vm-sock, or use --via inject.',
  });

const noVmInTime = (cause: Failure): Failure =>
  new Failure({
    code: 'VM_TIMEOUT',
    kind: 'timeout',
    what: cause.what,
    why: 'None appeared within the time limit.',
    hint: 'Give it longer with --timeout, or check that the process is a VMM.',
    cause,
  });

const ownerChanged = ({pid}: OwnerCandidate): Failure =>
  new Failure({
    code: 'OWNER_GONE',
    kind: 'notFound',
    what: `The VM's owner, process ${pid}, was not used.`,
    why: 'It has closed the VM, or ended, since it was found.',
    hint: 'Start the VM and try again.',
  });

const ofAnotherUser = (candidates: readonly OwnerCandidate[]): Failure =>
  new Failure({
    code: 'OWNER_OF_ANOTHER_USER',
    kind: 'refused',
    what: 'The owner of the VM was not made to execute anything.',
    why: `It may be ${candidates.map(({pid, comm}) => `process ${pid} (${comm}) of user ${userOf(pid) ?? 'unknown'}`).join(', or ')}: the process that sent this VM belongs to a user who may not have kvfio stop that process.`,
    hint: 'Name the process with --pid if it is the VMM.',
  });

const noCreator = (candidates: readonly OwnerCandidate[]): Failure =>
  new Failure({
    code: 'OWNER_NOT_FOUND',
    kind: 'kernelRefused',
    what: 'The owner of the VM was not found.',
    why: `KVM answered EIO to each process that has a descriptor of it (${candidates.map(({pid, comm}) => `${pid} ${comm}`).join(', ')}): none created it, or the VM is dead.`,
    hint: 'Start the VM anew; a VMM that executes another program loses its VM.',
    errno: 'EIO',
  });
