import {once} from 'node:events';
import {setTimeout as sleep} from 'node:timers/promises';
import {InjectedOwner} from '../../src/owner/inject/injected-owner.js';
import {firstLine, startChild} from '../owner/inject/inject-child.js';
import {tidy} from '../owner/inject/inject-sweep.js';
import type {Arena} from '../owner/inject/victim.js';
import {countDescriptors} from '../vm/vmm.js';
import {Kvfio, kvfio} from './kvfio.js';
import {WatchedVictim, KillTimes, change, descriptorsAtRest, startExample} from './owners.js';
import {arenaOfTrial} from './programs.js';
import {Chance, type Tally, type Trial} from './trial.js';

/** What owners do meanwhile. */
const OWNERS = [['poll'], ['read'], ['futex'], ['spin'], ['nanosleep', 'threads'], ['poll', 'vcpus']];

export const trial: Trial = {
  what: 'kvfio killed at random times',
  needs: ['x64', 'kvm', 'cc'],
  run: async (tally, {size, seed}) => {
    using arena = arenaOfTrial();
    const chance = new Chance(seed);
    const rounds = {small: 20, medium: 60, large: 1000}[size];
    const seen = {killed: 0, through: 0, changed: 0};
    const times = new KillTimes(chance);
    const apart = rounds / 5;
    await byInject(tally, arena, {chance, rounds: rounds - 2 * apart, seen, times});
    await byAgent(tally, arena, {rounds: apart, seen, times});
    await atWork(tally, arena, {chance, rounds: apart});
    tally.detail = `create and detach by inject and by agent: ${seen.killed} died before their end, ${seen.changed} of them had changed something, ${seen.through} were through; and ${apart} at work in an owner`;
  },
};

interface Plan {
  chance: Chance;
  rounds: number;
  times: KillTimes;
  seen: {killed: number; through: number; changed: number};
}

/** The command itself, from its start to its end; one owner after the other, as some keep a CPU busy. */
const byInject = async (tally: Tally, arena: Arena, plan: Plan): Promise<void> => {
  for (const args of OWNERS) {
    const owner = await WatchedVictim.start(arena, args);
    await withOne(tally, owner, {...plan, rounds: Math.ceil(plan.rounds / OWNERS.length)});
    arena.clear();
  }
};

const withOne = async (tally: Tally, owner: WatchedVictim, {rounds, seen, times}: Plan): Promise<void> => {
  const pid = ['--pid', String(owner.pid)];
  await finish(owner.hasDevice, times, ...pid);
  for (let round = 0; round < rounds; round += 1) {
    await tally.round(async () => {
      const had = owner.hasDevice;
      const argv = change(had, ...pid);
      await killDuring(argv, times, seen);
      await owner.check(tally, `round ${round}, ${argv.join(' ')}`);
      if (owner.hasDevice !== had) seen.changed += 1;
      if (round % 10 === 9) await finish(owner.hasDevice, times, ...pid);
    });
  }
  if (owner.hasDevice) await finish(true, times, ...pid);
  await owner.check(tally, 'at the end');
  if (owner.more.length > 0) tally.leaked.push(`at the end: ${owner.more.join(', ')}`);
};

const byAgent = async (
  tally: Tally,
  arena: Arena,
  {rounds, seen, times}: Omit<Plan, 'chance'>,
): Promise<void> => {
  const socket = `${arena.folder}/agent.sock`;
  await using vmm = await startExample(socket);
  const idle = countDescriptors(vmm.pid);
  const where = ['--vm-sock', socket, '--via', 'agent'];
  let has = false;
  for (let round = 0; round < rounds; round += 1) {
    await tally.round(async () => {
      await killDuring(change(has, ...where), times, seen);
      const open = await descriptorsAtRest(vmm.pid, has ? idle + 1 : idle);
      if (vmm.process.exitCode !== null) tally.harmed.push(`round ${round}: the VMM ended`);
      const now = open === idle + 1;
      if (!now && open !== idle) tally.leaked.push(`round ${round}: ${open - idle} descriptors in the VMM`);
      if (now !== has) seen.changed += 1;
      has = now;
      if (round % 10 === 0) {
        await finish(has, times, ...where);
        has = !has;
      }
    });
  }
};

/** Only the part that matters most: stops, calls, and a descriptor on its way, without end. */
const atWork = async (
  tally: Tally,
  arena: Arena,
  {chance, rounds}: {chance: Chance; rounds: number},
): Promise<void> => {
  const owner = await WatchedVictim.start(arena, ['spin']);
  const before = owner.victim.descriptors();
  for (let round = 0; round < rounds; round += 1) {
    await tally.round(async () => {
      const child = startChild({pid: owner.pid, vmFd: owner.victim.report.vmFd, work: 'for ever'});
      await firstLine(child);
      await sleep(chance.next() * 40);
      child.kill('SIGKILL');
      await once(child, 'exit');
      try {
        await owner.victim.isWell();
      } catch (error) {
        tally.harmed.push(`at work, round ${round}: ${String(error)}`);
        throw error;
      }
      await tidy(owner.victim, before);
    });
  }
  using last = InjectedOwner.open(owner.pid);
  last.together(() => undefined);
};

const killDuring = async (argv: string[], times: KillTimes, seen: Plan['seen']): Promise<void> => {
  const started = new Kvfio(argv);
  await Promise.race([started.ended, sleep(times.next())]);
  started.child.kill('SIGKILL');
  const {signal} = await started.ended;
  if (signal === 'SIGKILL') seen.killed += 1;
  else seen.through += 1;
};

/** The next kvfio can do what the killed one could not. */
const finish = async (hasDevice: boolean, times: KillTimes, ...where: string[]): Promise<void> => {
  times.learn(await kvfio(change(hasDevice, ...where)));
};
