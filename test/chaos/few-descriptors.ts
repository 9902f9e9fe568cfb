import assert from 'node:assert/strict';
import {fileURLToPath} from 'node:url';
import {countDescriptors} from '../vm/vmm.js';
import {Kvfio, endsProperly, kvfio, type Ending} from './kvfio.js';
import {WatchedVictim, change, descriptorsAtRest, startExample} from './owners.js';
import {arenaOfTrial} from './programs.js';
import type {Tally, Trial} from './trial.js';

const SPARE = fileURLToPath(new URL('spare-descriptors.js', import.meta.url));

export const trial: Trial = {
  what: 'few file descriptors left, for every command',
  needs: ['x64', 'kvm', 'cc', 'prlimit'],
  run: async (tally, {size}) => {
    using arena = arenaOfTrial();
    const owner = await WatchedVictim.start(arena, ['poll']);
    const socket = `${arena.folder}/agent.sock`;
    await using vmm = await startExample(socket);
    const idle = countDescriptors(vmm.pid);
    const pid = ['--pid', String(owner.pid)];
    const at = ['--vm-sock', socket, '--via', 'agent'];
    const commands: Record<string, () => readonly string[]> = {
      'create or detach by inject': () => change(owner.hasDevice, ...pid),
      'create or detach by agent': () => change(countDescriptors(vmm.pid) > idle, ...at),
      attach: () => ['attach', '-g', '99', ...pid],
      add: () => ['add', '-g', '99', ...pid],
      delete: () => ['delete', '-g', '99', ...pid],
      status: () => ['status', ...pid],
      vms: () => ['vms'],
      groups: () => ['groups'],
      snapshot: () => ['snapshot', `${arena.folder}/snapshot.json`, '--force'],
      doctor: () => ['doctor'],
      probe: () => ['probe', '--operation', 'cpuid', '--samples', '20', '--warmup', '1', '--spread', '0'],
      bind: () => ['bind', '-g', '99'],
      unbind: () => ['unbind', '--recover'],
      lab: () => ['lab', '--kernel', '/nonexistent', '--', 'true'],
      completion: () => ['completion', 'bash'],
      vm: () => ['vm', '--sock', `${arena.folder}/vm.sock`],
    };
    const spares = {small: [3], medium: [1, 3, 6], large: [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16]}[size];
    const exits = new Map<number | null, number>();
    for (const [name, argv] of Object.entries(commands)) {
      for (const spare of spares) {
        await tally.round(async () => {
          const before = [owner.more.join(), countDescriptors(vmm.pid)];
          const ending = await withSpare(argv(), spare);
          exits.set(ending.exit, (exits.get(ending.exit) ?? 0) + 1);
          await owner.check(tally, `${name} with ${spare} spare descriptors`);
          properly(name, spare, ending);
          const rest = await descriptorsAtRest(vmm.pid, Number(before[1]));
          if (ending.exit !== 0)
            assert.deepEqual([owner.more.join(), rest], before, `${name}, ${spare} spare`);
        });
      }
    }
    const started = await fromTheStart(tally, owner, {small: 12, medium: 6, large: 1}[size]);
    if (vmm.process.exitCode !== null) tally.harmed.push('the VMM ended');
    tally.detail = `${Object.keys(commands).length} commands with ${spares.join(', ')} spare ones: ${[
      ...exits,
    ]
      .sort(([a], [b]) => Number(a) - Number(b))
      .map(([exit, count]) => `exit ${exit ?? 'none'} ${count} x`)
      .join(', ')}; limited from the start ${started}`;
  },
};

const withSpare = async (argv: readonly string[], spare: number): Promise<Ending> => {
  const started = new Kvfio(json(argv), {node: ['--import', SPARE], env: {KVFIO_SPARE: String(spare)}});
  // `kvfio vm` goes on when it has what it needs
  if (argv[0] === 'vm') started.child.stdout?.once('data', () => started.child.kill('SIGTERM'));
  return started.ended;
};

/** Completion scripts are no documents, the lab's answer is that of what runs in it, and a VM's comes at its end. */
const json = (argv: readonly string[]): readonly string[] =>
  ['completion', 'lab', 'vm'].includes(argv[0] ?? '') ? argv : [...argv, '--json'];

const properly = (name: string, spare: number, ending: Ending): void => {
  try {
    endsProperly(ending);
  } catch (error) {
    throw new Error(`${name} with ${spare} spare descriptors: ${String(error)}`, {cause: error});
  }
};

/** What Node says when it does not get to the first line of kvfio, the last being that it cannot open the file. */
const NODE = /Assertion|uv_|node::|error while loading shared|EMFILE: .*, open '\S+\/bin\/run\.js'/;

/** Below some number it is Node that does not start, which is told apart by what it says. */
const fromTheStart = async (tally: Tally, owner: WatchedVictim, step: number): Promise<string> => {
  let [node, kvfios] = [0, 0];
  for (let limit = 6; limit <= 40; limit += step) {
    await tally.round(async () => {
      const argv = change(owner.hasDevice, '--pid', String(owner.pid), '--json');
      const ending = await kvfio(argv, {wrap: ['prlimit', `--nofile=${limit}`]});
      await owner.check(tally, `limited to ${limit}`);
      if (ending.signal !== null || NODE.test(ending.stderr)) node += 1;
      else {
        kvfios += 1;
        endsProperly(ending);
      }
    });
  }
  return `${node} x Node did not start, ${kvfios} x kvfio ended properly`;
};
