import assert from 'node:assert/strict';
import {runChild} from '../owner/inject/inject-child.js';
import {arenaOfTrial} from './programs.js';
import type {Trial} from './trial.js';

export const trial: Trial = {
  what: 'VMM killed after each ptrace request',
  needs: ['x64', 'kvm', 'cc'],
  run: async (tally, {size}) => {
    using arena = arenaOfTrial();
    const short = size !== 'large';
    const modes = short ? ['poll'] : ['spin', 'poll', 'nanosleep', 'read'];
    const works = short ? (['round'] as const) : (['create', 'round'] as const);
    const codes = new Map<string, number>();
    for (const mode of modes) {
      for (const work of works) {
        const over = {through: false};
        for (let killOwnerAfter = 1; !over.through; killOwnerAfter += size === 'small' ? 2 : 1) {
          await tally.round(async () => {
            const victim = await arena.victim([mode]);
            const {vmFd} = victim.report;
            const answer = await runChild({pid: victim.pid, vmFd, work, killOwnerAfter});
            // it did all there was to do, and killed nobody
            over.through = (answer.requests?.length ?? 0) < killOwnerAfter && answer.failure === undefined;
            if (over.through) {
              victim.kill();
              return;
            }
            const code = answer.failure?.code ?? 'done';
            codes.set(code, (codes.get(code) ?? 0) + 1);
            const {requests, failure} = answer;
            assert.ok(requests !== undefined, `killed after ${killOwnerAfter}: kvfio died, too`);
            if (failure !== undefined) assert.equal(failure.name, 'Failure', JSON.stringify(failure));
          });
          if (tally.lost.length > 20 || killOwnerAfter > 500) break;
        }
        arena.clear();
      }
    }
    tally.detail = [...codes].map(([code, count]) => `${count} ${code}`).join(', ');
  },
};
