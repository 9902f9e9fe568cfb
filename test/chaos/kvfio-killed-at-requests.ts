import type {Task} from '../owner/inject/inject-child.js';
import {sweep} from '../owner/inject/inject-sweep.js';
import type {Arena} from '../owner/inject/victim.js';
import {KVM_DEV_TYPE_VFIO} from '../../src/linux/ioctl.js';
import type {InjectedOwner} from '../../src/owner/inject/injected-owner.js';
import {arenaOfTrial} from './programs.js';
import type {Tally, Trial} from './trial.js';

type Prepare = (owner: InjectedOwner, vmFd: number) => Partial<Task>;

/** What is done with an owner while it is stopped, and what that needs. */
const WORKS: [Task['work'], Prepare][] = [
  ['create', () => ({})],
  ['give and add', (owner, vmFd) => ({device: owner.createDevice(vmFd, KVM_DEV_TYPE_VFIO)})],
  [
    'delete and close',
    (owner, vmFd) => ({
      device: owner.createDevice(vmFd, KVM_DEV_TYPE_VFIO),
      fd: owner.giveDescriptor(owner.takeDescriptor(0)),
    }),
  ],
];

export const trial: Trial = {
  what: 'kvfio killed after each ptrace request',
  needs: ['x64', 'kvm', 'cc'],
  run: async (tally, {size}) => {
    using arena = arenaOfTrial();
    const short = size !== 'large';
    const modes = short ? ['poll'] : ['spin', 'poll', 'nanosleep', 'futex', 'read'];
    for (const mode of modes)
      for (const [work, prepare] of short ? WORKS.slice(0, 2) : WORKS)
        await sweepAll(tally, arena, mode, work, prepare);
    tally.detail = `owners in ${modes.join(', ')}; device created, file given and added${short ? '' : ', deleted and closed'}`;
  },
};

const sweepAll = async (
  tally: Tally,
  arena: Arena,
  mode: string,
  work: Task['work'],
  prepare: Prepare,
): Promise<void> => {
  try {
    tally.rounds += await sweep(arena, [mode], work, prepare);
  } catch (error) {
    const text = `${mode}, ${work}: ${String(error)}`;
    (/the victim ended|victim\.c line/.test(text) ? tally.harmed : tally.lost).push(text);
  } finally {
    arena.clear();
  }
};
