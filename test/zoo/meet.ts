import {setTimeout as sleep} from 'node:timers/promises';
import {Process} from '../../src/linux/proc/process.js';
import {within} from '../../src/lab/within.js';
import {runChild} from '../owner/inject/inject-child.js';
import type {Arena} from '../owner/inject/victim.js';
import type {Ending} from './ending.js';
import type {Kind} from './kinds.js';
import {startOwner, type Owner} from './owner.js';

/** How much is done with each owner. */
export interface Effort {
  /** In each of which a device is created and closed. */
  rounds: number;
  /** Whether kvfio is killed after each of its ptrace requests, where the kind is for that. */
  kills: boolean;
  /** Whether one kvfio serves all owners. */
  resident: boolean;
}

/** Carries out a command line of kvfio. */
export type Kvfio = (argv: readonly string[], milliseconds: number) => Promise<KvfioEnding>;

export interface KvfioEnding {
  exit: number | null;
  stdout: string;
  /** Why it has no exit code, or said nothing. */
  why: string;
}

export interface Meeting {
  arena: Arena;
  /** Of the programs. */
  folder: string;
  kvfio: Kvfio;
  effort: Effort;
}

/** Has kvfio work with an owner of a kind, and tells what became of that. */
export const meet = async ({arena, folder, kvfio, effort}: Meeting, kind: Kind): Promise<Ending> => {
  const owner = await startOwner(arena, folder, kind);
  try {
    await isWell(owner, 'before anything was done');
    const served = await serve(owner, kind, {kvfio, rounds: effort.rounds});
    if (served.ending !== 'undisturbed' || !effort.kills || kind.killed !== true) return served;
    const requests = await killAfterEach(owner, kind);
    const interrupted = owner.interrupted();
    const seen =
      interrupted === 0 ? '' : `, ${interrupted} calls saw EINTR of a kvfio that died as it stopped them`;
    return {...served, detail: `${served.detail}; kvfio killed after each of ${requests} requests${seen}`};
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    return {ending: error instanceof Harmed ? 'harmed' : 'failed', detail};
  } finally {
    owner.kill();
  }
};

class Harmed extends Error {}

/** Seconds in which whatever lives shows it, also in a guest on a busy host. */
const PATIENCE = 120;

/** @param mayBeInterrupted - how many calls of it may have failed with EINTR by now */
const isWell = async (owner: Owner, when: string, mayBeInterrupted = 0): Promise<void> => {
  try {
    await within(owner.isWell(), {
      ...{seconds: PATIENCE, signal: undefined},
      expired: () => new Error(`it does not go on within ${PATIENCE} s`),
    });
    if (owner.interrupted() > mayBeInterrupted) throw new Error('a call was interrupted');
  } catch (error) {
    throw new Harmed(`${when}: ${error instanceof Error ? error.message : String(error)}`);
  }
};

const serve = async (
  owner: Owner,
  {flags = []}: Kind,
  {kvfio, rounds}: {kvfio: Kvfio; rounds: number},
): Promise<Ending> => {
  const where = ['--pid', String(owner.pid), '--vm-fd', String(owner.vmFd), '--json', ...flags];
  const refusals = new Map<string, number>();
  const reasons = new Set<string>();
  for (let round = 0; round < rounds; round += 1) {
    for (const command of [['create'], ['detach', '--all', '--close-device']]) {
      const device = devicesOf(owner).flatMap((fd) => ['--device-fd', String(fd)]);
      const ending = await kvfio([...command, ...where, ...device], PATIENCE * 1000);
      await isWell(owner, `after kvfio ${command[0] ?? ''}`);
      if (ending.exit !== 0) {
        const {code, message} = failureOf(ending.stdout) ?? {code: null, message: ending.why};
        if (code === null) return {ending: 'failed', detail: `exit ${ending.exit ?? 'none'}: ${message}`};
        refusals.set(code, (refusals.get(code) ?? 0) + 1);
        reasons.add(message);
        break;
      }
      const hasDevice = await isLike(() => devicesOf(owner).length > 0, command[0] === 'create');
      if (hasDevice !== (command[0] === 'create'))
        return {
          ending: 'failed',
          detail: `after kvfio ${command[0] ?? ''} there is ${hasDevice ? 'a' : 'no'} device`,
        };
    }
  }
  if (refusals.size === 0)
    return {ending: 'undisturbed', detail: `${rounds} ${rounds === 1 ? 'round' : 'rounds'}`};
  const [[code = '', times] = []] = refusals;
  const why = [...reasons].join('; ');
  if (refusals.size === 1 && times === rounds) return {ending: 'refused', detail: `${code}: ${why}`};
  return {
    ending: 'refused',
    detail: `${[...refusals].map(([each, count]) => `${each} in ${count}`).join(', ')} of ${rounds} rounds: ${why}`,
  };
};

const isLike = async (look: () => boolean, expected: boolean): Promise<boolean> => {
  for (let tries = 0; tries < 50 && look() !== expected; tries += 1) await sleep(20);
  return look();
};

const failureOf = (stdout: string): {code: string; message: string} | null => {
  try {
    const {error} = JSON.parse(stdout) as {error?: {code: string; message: string}};
    return error ?? null;
  } catch {
    return null;
  }
};

const devicesOf = ({pid}: Owner): number[] =>
  [...new Process(pid).descriptors()].filter(([, link]) => link === 'anon_inode:kvm-vfio').map(([fd]) => fd);

/** Lets kvfio die after its first request, its second, and so on. @returns how many it has */
const killAfterEach = async (owner: Owner, {isInterruptedByDeath}: Kind): Promise<number> => {
  const armed = isInterruptedByDeath === true ? await requestThatArms(owner) : 0;
  for (let dieAfter = 1; ; dieAfter += 1) {
    const before = owner.interrupted();
    const {requests, failure} = await runChild({pid: owner.pid, vmFd: owner.vmFd, work: 'create', dieAfter});
    const mayBeInterrupted = dieAfter < armed ? before + 1 : before;
    await isWell(owner, `after a kvfio that died after request ${dieAfter}`, mayBeInterrupted);
    if (failure !== undefined)
      throw new Error(`before request ${dieAfter}: ${failure.code} ${failure.why ?? ''}`);
    if (devicesOf(owner).length > 1) throw new Error('there are two devices');
    for (const fd of devicesOf(owner)) {
      const closed = await runChild({pid: owner.pid, fd, work: 'close'});
      if (closed.failure !== undefined)
        throw new Error(`closing: ${closed.failure.code} ${closed.failure.why ?? ''}`);
      const when = `after the device that it left, with request ${dieAfter}, was closed`;
      await isWell(owner, when, mayBeInterrupted);
    }
    if (requests !== undefined) return requests.length;
  }
};

/** The number of the request from which on a thread restores itself when kvfio dies: its registers are set, and its mask is next. */
const requestThatArms = async (owner: Owner): Promise<number> => {
  const {requests = []} = await runChild({pid: owner.pid, work: 'nothing'});
  return requests.indexOf('PTRACE_SETSIGMASK');
};
