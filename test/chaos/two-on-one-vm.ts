import assert from 'node:assert/strict';
import {kvfio, endsProperly, type Ending} from './kvfio.js';
import {WatchedVictim, startExample} from './owners.js';
import {arenaOfTrial} from './programs.js';
import {Chance, type Tally, type Trial} from './trial.js';

/** At once. */
const MANY = 4;

export const trial: Trial = {
  what: `${MANY} kvfio at once on one VM`,
  needs: ['x64', 'kvm', 'cc'],
  run: async (tally, {size, seed}) => {
    using arena = arenaOfTrial();
    const chance = new Chance(seed + 3);
    const owner = await WatchedVictim.start(arena, ['poll']);
    const socket = `${arena.folder}/agent.sock`;
    await using vmm = await startExample(socket);
    const rounds = {small: 3, medium: 6, large: 60}[size];
    for (let round = 0; round < rounds; round += 1) {
      const where = round % 3 === 2 ? ['--vm-sock', socket, '--via', 'agent'] : ['--pid', String(owner.pid)];
      await tally.round(() => strictly(where));
      await tally.round(() => mixed(tally, owner, chance, where));
      await owner.check(tally, `round ${round}`);
    }
    if (owner.more.length > 0) tally.leaked.push(owner.more.join(', '));
    if (vmm.process.exitCode !== null) tally.harmed.push('the VMM ended');
    tally.detail = `of ${MANY} that create exactly one does, the others are told EBUSY; create and detach mixed end in one of the two states; by inject and by agent`;
  },
};

const all = (argv: (index: number) => readonly string[]): Promise<Ending[]> =>
  Promise.all(Array.from({length: MANY}, (_, index) => kvfio([...argv(index), '--json', '--timeout', '30'])));

/** Only one can create, and one detach that finds it is enough. */
const strictly = async (where: readonly string[]): Promise<void> => {
  const created = await all(() => ['create', ...where]);
  created.forEach(endsProperly);
  assert.deepEqual(
    created.map(({exit}) => exit).sort(),
    [0, 6, 6, 6],
    created.map(({stdout}) => stdout).join('\n'),
  );
  const detached = await all(() => ['detach', '--all', '--close-device', ...where]);
  detached.forEach(endsProperly);
  assert.deepEqual(
    detached.map(({exit}) => exit),
    [0, 0, 0, 0],
    detached.map(({stdout}) => stdout).join('\n'),
  );
  const changed = detached.filter(({stdout}) => (JSON.parse(stdout) as {changed: boolean}).changed);
  assert.equal(changed.length, 1);
};

const mixed = async (
  tally: Tally,
  owner: WatchedVictim,
  chance: Chance,
  where: readonly string[],
): Promise<void> => {
  const detach = ['detach', '--all', '--close-device', ...where];
  const endings = await all(() => (chance.below(2) === 0 ? ['create', '--if-missing', ...where] : detach));
  endings.forEach(endsProperly);
  for (const {exit, stdout, argv} of endings) if (exit !== 0) tally.lost.push(`${argv.join(' ')}: ${stdout}`);
  await owner.check(tally, 'mixed');
  endsProperly(await kvfio([...detach, '--json']));
};
