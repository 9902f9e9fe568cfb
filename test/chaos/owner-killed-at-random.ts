import {setTimeout as sleep} from 'node:timers/promises';
import type {Arena} from '../owner/inject/victim.js';
import type {Vmm} from '../vm/vmm.js';
import {Kvfio, endsProperly, kvfio} from './kvfio.js';
import {KillTimes, killed, startExample} from './owners.js';
import {arenaOfTrial} from './programs.js';
import {Chance, type Trial} from './trial.js';

export const trial: Trial = {
  what: 'VMM killed at random times',
  needs: ['x64', 'kvm', 'cc'],
  run: async (tally, {size, seed}) => {
    using arena = arenaOfTrial();
    const chance = new Chance(seed + 1);
    const rounds = {small: 30, medium: 60, large: 1000}[size];
    const times = new KillTimes(chance);
    const exits = new Map<number | null, number>();
    for (let round = 0; round < rounds; round += 1) {
      await tally.round(async () => {
        const owner = round % 2 === 0 ? await victim(arena) : await example(arena, round);
        if (round % 10 < 2) times.learn(await kvfio(['status', ...owner.where]));
        const started = new Kvfio(['create', '--if-missing', '--json', ...owner.where]);
        await Promise.race([started.ended, sleep(times.next())]);
        await owner.kill();
        const ending = await started.ended;
        exits.set(ending.exit, (exits.get(ending.exit) ?? 0) + 1);
        endsProperly(ending);
      });
    }
    tally.detail = `by inject and by agent; exit codes: ${[...exits]
      .sort(([a], [b]) => Number(a) - Number(b))
      .map(([exit, count]) => `${exit ?? 'none'} ${count} x`)
      .join(', ')}`;
  },
};

interface Owner {
  where: string[];
  kill: () => Promise<void>;
}

const victim = async (arena: Arena): Promise<Owner> => {
  const started = await arena.victim(['poll']);
  return {
    where: ['--pid', String(started.pid)],
    kill: async () => {
      started.kill();
      await started.ended();
    },
  };
};

const example = async (arena: Arena, round: number): Promise<Owner> => {
  const socket = `${arena.folder}/${round}.sock`;
  const vmm: Vmm = await startExample(socket);
  return {where: ['--vm-sock', socket, '--via', 'agent'], kill: () => killed(vmm)};
};
